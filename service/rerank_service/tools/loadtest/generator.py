"""Load generators: a closed loop, where each client waits for its response, and an open loop with a fixed rate."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial

from rerank_service.quantities import duration
from rerank_service.tools.loadtest.target import NO_ANSWER_IN_TIME, CallFailed, Client, Target, Usage
from rerank_service.tools.loadtest.workload import Request, Requests

_OPEN_LOOP_CONNECTIONS = 16
"""Number of connections that share the requests of an open loop."""
_LONGEST_CALL_SECONDS = 600.0
"""Maximum time of a call that has the deadline of the server, which is 60 s by default. It ends calls of a server that
hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one call."""

    begun: float
    """Start, in seconds of `time.perf_counter`."""
    ended: float
    """End, in seconds of `time.perf_counter`."""
    documents: int
    """Number of documents of the request."""
    due: float | None = None
    """Time at which an open loop had to start the call, in seconds of `time.perf_counter`; None in a closed loop."""
    usage: Usage | None = None
    """Token counts of a successful call; None if the call failed."""
    error: str | None = None
    """Kind of the failure; None if the call succeeded."""
    message: str = ""
    """Message of the failure."""
    refused: bool = False
    """True if the server rejected the call because it is overloaded or unavailable."""

    @property
    def seconds(self) -> float:
        """Seconds from the start of the call to its end. In an open loop, they begin when the call was due: otherwise,
        calls that start late would look fast."""
        return self.ended - (self.begun if self.due is None else self.due)


OnOutcome = Callable[[Outcome], object]
"""Called after each call."""


def _ignore(_: Outcome) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Amount:
    """Amount of load: a time during which calls start, or a number of calls. Started calls are always completed."""

    seconds: float | None = None
    requests: int | None = None

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the requests to send, until the amount is reached."""
        ends = None if self.seconds is None else time.perf_counter() + self.seconds
        for number in itertools.count() if self.requests is None else range(self.requests):
            if ends is not None and time.perf_counter() >= ends:
                return
            yield number


async def closed_loop(
    target: Target,
    workload: Requests,
    amount: Amount,
    *,
    clients: int,
    deadline: float | None = None,
    first: int = 0,
    on_outcome: OnOutcome = _ignore,
) -> list[Outcome]:
    """Run clients at the same time; each waits for its response before its next request.

    `first` is the number of the first request: two runs with different numbers send different requests. `deadline` is
    that of each call, in seconds.
    """
    outcomes: list[Outcome] = []

    async def work(client: Client, numbers: Iterator[int]) -> None:
        for number in numbers:
            outcomes.append(await _call(client, workload.request(first + number), longest=_longest(deadline)))
            on_outcome(outcomes[-1])

    async with AsyncExitStack() as stack:
        connected = await _connect(target, clients, deadline, stack)
        numbers = amount.numbers()  # shared: a free client takes the next number
        async with asyncio.TaskGroup() as tasks:
            for client in connected:
                tasks.create_task(work(client, numbers))
    return outcomes


async def open_loop(
    target: Target,
    workload: Requests,
    *,
    rate: float,
    seconds: float,
    deadline: float | None = None,
    on_outcome: OnOutcome = _ignore,
) -> list[Outcome]:
    """Start `rate` requests per second for `seconds`, without waiting for earlier responses.

    Calls start late if this process or its machine is too slow for the rate. They count from the time at which they
    were due.
    """
    outcomes: list[Outcome] = []
    requests = [workload.request(number) for number in range(max(1, round(rate * seconds)))]  # before the clock starts

    async def call(client: Client, request: Request, due: float) -> None:
        outcomes.append(await _call(client, request, due, longest=_longest(deadline)))
        on_outcome(outcomes[-1])

    async with AsyncExitStack() as stack:
        clients = itertools.cycle(await _connect(target, _OPEN_LOOP_CONNECTIONS, deadline, stack))
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, request in enumerate(requests):
                due = begun + number / rate
                await asyncio.sleep(due - time.perf_counter())
                tasks.create_task(call(next(clients), request, due))
    return outcomes


async def _connect(target: Target, clients: int, deadline: float | None, stack: AsyncExitStack) -> list[Client]:
    """Return connected clients. A client that cannot connect fails in its first call."""
    made = [await stack.enter_async_context(target.client(deadline)) for _ in range(clients)]
    with suppress(TimeoutError):
        async with asyncio.timeout(_longest(deadline)):
            await asyncio.gather(*(client.connect() for client in made), return_exceptions=True)
    return made


def _longest(deadline: float | None) -> float | None:
    """Return the maximum time of a call; None if it has a deadline of its own."""
    return _LONGEST_CALL_SECONDS if deadline is None else None


async def _call(client: Client, request: Request, due: float | None = None, *, longest: float | None) -> Outcome:
    outcome = partial(Outcome, begun=time.perf_counter(), documents=len(request.documents), due=due)
    try:
        async with asyncio.timeout(longest):
            usage = await client.rank(request)
    except CallFailed as error:
        return outcome(ended=time.perf_counter(), error=error.kind, message=str(error), refused=error.refused)
    except TimeoutError:
        message = f"no response after {duration(longest or 0.0)}"
        return outcome(ended=time.perf_counter(), error=NO_ANSWER_IN_TIME, message=message)
    return outcome(ended=time.perf_counter(), usage=usage)
