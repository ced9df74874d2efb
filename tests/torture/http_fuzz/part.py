"""The part http."""

from torture.http_fuzz.case import HttpCase, case_of
from torture.http_fuzz.oracle import judge
from torture.http_fuzz.protocol import random_bytes
from torture.http_fuzz.request import random_request
from torture.http_fuzz.responses import ResponseReader
from torture.part import Case, Outcome, Part
from torture.part_run import PartRun
from torture.server import Server
from torture.wire import converse

_CONCURRENCY = 24
_SHARE_OF_BYTES = 0.15
"""Share of inputs that are unusual bytes. The others are valid HTTP with unusual content."""


def make_case(run: PartRun, number: int) -> HttpCase:
    """Return the input with a number."""
    rng = run.random(number)
    return random_bytes(rng) if rng.random() < _SHARE_OF_BYTES else random_request(rng)


async def try_case(server: Server, case: HttpCase) -> Outcome:
    """Send an input on a connection of its own, and judge what comes back."""
    reader = ResponseReader([method for method, _ in case.requests], until_closed=case.until_closed)
    try:
        received = await converse(server.rest, case.steps, reader.feed)
    except OSError as error:
        return Outcome("not connected", f"the server does not accept connections: {error}", case.as_json())
    return judge(case, received, reader)


async def _run(run: PartRun) -> None:
    async with run.server() as server:

        async def attempt(number: int) -> Outcome:
            return await try_case(server, make_case(run, number))

        await run.each(attempt, server=server, concurrency=_CONCURRENCY)


async def _repeat(server: Server, case: Case) -> Outcome:
    return await try_case(server, case_of(case))


HTTP = Part(
    name="http",
    title="HTTP requests and bytes to all paths of the REST server",
    run=_run,
    inputs=600_000,
    slice_inputs=700,
    flags=("--header-timeout", "5", "--progress-timeout", "5", "--rest-idle-timeout", "2"),
    repeat=_repeat,
)
