"""Load: clients that wait for an answer before they ask again (closed), or arrivals that wait for nobody (open)."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rerank_service.tools.loadtest.target import Answer, CallFailed, Client, Target
from rerank_service.tools.loadtest.workload import Prepared, Request, Workload

_CONNECTIONS = 16
"""Among which arrivals are dealt."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call."""

    begun: float
    """Seconds on `time.perf_counter`."""
    ended: float
    documents: int
    """That it sent."""
    answer: Answer | None = None
    error: str | None = None
    """The kind of its failure."""
    message: str = ""
    refused: bool = False

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.begun


OnOutcome = Callable[[Outcome], None]


def _ignore(_: Outcome) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Amount:
    """How much load: begin calls for so many seconds, or so many calls; what has begun is always waited for."""

    seconds: float | None = None
    requests: int | None = None

    def numbers(self) -> Iterator[int]:
        """The numbers of the requests to send, until it is enough."""
        ends = None if self.seconds is None else time.perf_counter() + self.seconds
        for number in itertools.count() if self.requests is None else range(self.requests):
            if ends is not None and time.perf_counter() >= ends:
                return
            yield number


async def closed(
    target: Target,
    workload: Workload | Prepared,
    amount: Amount,
    *,
    clients: int,
    deadline: float | None = None,
    first: int = 0,
    on_outcome: OnOutcome = _ignore,
) -> list[Outcome]:
    """So many clients at once, each waiting for its answer before it asks again. `first` is the number of the first
    request, so that two runs need not send the same ones."""
    outcomes: list[Outcome] = []

    async def work(client: Client, numbers: Iterator[int]) -> None:
        for number in numbers:
            outcomes.append(await _call(client, workload.request(first + number)))
            on_outcome(outcomes[-1])

    async with AsyncExitStack() as stack:
        connected = await _connect(target, clients, deadline, stack)
        numbers = amount.numbers()  # shared: a client takes the next one when it is free
        async with asyncio.TaskGroup() as tasks:
            for client in connected:
                tasks.create_task(work(client, numbers))
    return outcomes


async def arriving(
    target: Target,
    workload: Workload | Prepared,
    *,
    rate: float,
    seconds: float,
    deadline: float | None = None,
    on_outcome: OnOutcome = _ignore,
) -> list[Outcome]:
    """Requests that come at a steady rate a second, whether or not those before are answered."""
    outcomes: list[Outcome] = []
    requests = [workload.request(number) for number in range(max(1, round(rate * seconds)))]  # before time counts

    async def arrive(client: Client, request: Request) -> None:
        outcomes.append(await _call(client, request))
        on_outcome(outcomes[-1])

    async with AsyncExitStack() as stack:
        clients = itertools.cycle(await _connect(target, _CONNECTIONS, deadline, stack))
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number, request in enumerate(requests):
                await asyncio.sleep(begun + number / rate - time.perf_counter())
                tasks.create_task(arrive(next(clients), request))
    return outcomes


async def _connect(target: Target, clients: int, deadline: float | None, stack: AsyncExitStack) -> list[Client]:
    """Clients that are connected; one that cannot be will say so when it is asked to rank."""
    made = [await stack.enter_async_context(target.client(deadline)) for _ in range(clients)]
    await asyncio.gather(*(client.connect() for client in made), return_exceptions=True)
    return made


async def _call(client: Client, request: Request) -> Outcome:
    documents = len(request.documents)
    begun = time.perf_counter()
    try:
        answer = await client.rank(request)
    except CallFailed as error:
        ended = time.perf_counter()
        return Outcome(begun, ended, documents, error=error.kind, message=str(error), refused=error.refused)
    return Outcome(begun, time.perf_counter(), documents, answer)
