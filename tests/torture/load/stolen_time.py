"""Time for which the hypervisor ran something else on a CPU of this virtual machine: `steal` in proc(5)."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_STAT = Path("/proc/stat")
_STEAL = 8
"""Column of a line such as `cpu0 …`."""
_TICK_SECONDS = 0.01
_PERIOD_SECONDS = 0.05
_WINDOW = 2
"""A turn of 50 ms lies within that many periods."""
_KEPT = 200


@dataclass(slots=True)
class StolenTime:
    """The stolen time of each CPU, for the last ten seconds."""

    readings: deque[tuple[float, tuple[float, ...]]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """Moments of `time.monotonic`, each with the seconds stolen from each CPU until then."""

    def longest(self, since: float) -> float:
        """Return the most seconds that one CPU lost within about 100 ms, after a moment."""
        cpus = [values for moment, values in self.readings if moment >= since]
        windows = zip(cpus, cpus[_WINDOW:], strict=False)
        return max((max(b - a for a, b in zip(before, after, strict=True)) for before, after in windows), default=0.0)


@asynccontextmanager
async def stolen_time() -> AsyncIterator[StolenTime]:
    """Read the stolen time while the block runs."""
    stolen = StolenTime()

    def read_once() -> None:
        stolen.readings.append((time.monotonic(), stolen_seconds(_STAT.read_text())))

    async def read() -> None:
        while True:
            read_once()
            await asyncio.sleep(_PERIOD_SECONDS)

    reading = asyncio.create_task(read())
    try:
        yield stolen
    finally:
        reading.cancel()


def stolen_seconds(text: str) -> tuple[float, ...]:
    """Return the stolen seconds of each CPU, from the content of /proc/stat."""
    rows = (line.split() for line in text.splitlines())
    return tuple(int(row[_STEAL]) * _TICK_SECONDS for row in rows if row[0].startswith("cpu") and row[0] != "cpu")
