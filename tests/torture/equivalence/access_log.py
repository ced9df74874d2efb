"""The access log: each request is finished once."""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

_SECONDS = 30.0
_POLL_SECONDS = 0.2


async def unfinished(log: Path, waited: Mapping[str, int], gone: Collection[str]) -> list[str]:
    """Return the problems: requests whose end is not in the log once. Waits until the log is complete, at most 30 s.

    Args:
        log: file with a JSON line for each finished request.
        waited: ids of the requests that were answered.
        gone: ids of the requests that the server may not have seen.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + _SECONDS
    found = _finished(log)
    while any(found[each] == 0 for each in waited) and clock() < ends:
        await asyncio.sleep(_POLL_SECONDS)
        found = _finished(log)
    lost = [each for each in waited if found[each] == 0]
    twice = [each for each in (*waited, *gone) if found[each] > 1]
    return [f"answered, but not in the log: {each}" for each in lost] + [f"finished twice: {each}" for each in twice]


def _finished(log: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in log.read_bytes().splitlines():
        if b'"request finished"' in line:
            found[str(json.loads(line).get("request_id"))] += 1
    return found
