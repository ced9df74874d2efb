"""Requests of mixed sizes over gRPC and REST at the same time, on schedule."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from rerank_service.tools.loadtest.generator import Amount, Outcome, closed_loop, open_loop
from rerank_service.tools.loadtest.grpc_target import GrpcTarget
from rerank_service.tools.loadtest.http_target import HttpTarget
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Lengths, PreparedRequests, Workload
from torture.server import Server

_SIZES, _SHARES = (1, 10, 40, 100), (30, 50, 15, 5)
"""Documents per request, and how many of 100 requests have that number."""
_LENGTHS = Lengths(10, 200)
_DIFFERENT = 200
"""Number of different requests; they repeat in turn."""
_CLIENTS = 8
"""Clients of each protocol when the capacity is measured."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The two targets, and the requests that both get."""

    targets: tuple[Target, Target]
    requests: PreparedRequests

    async def capacity(self, seconds: float) -> float:
        """Return the requests per second that waiting clients reach."""
        amount = Amount(seconds=seconds)
        loops = [closed_loop(target, self.requests, amount, clients=_CLIENTS) for target in self.targets]
        outcomes = [outcome for found in await asyncio.gather(*loops) for outcome in found]
        answered = [outcome for outcome in outcomes if outcome.error is None]
        if not answered:
            raise RuntimeError(f"no request was answered: {outcomes[:1]}")
        return len(answered) / _seconds(answered)

    async def at(self, rate: float, seconds: float, deadline: float) -> list[Outcome]:
        """Start `rate` requests per second, half of them over each protocol. Return all outcomes."""
        half = rate / len(self.targets)
        loops = [
            open_loop(target, self.requests, rate=half, seconds=seconds, deadline=deadline) for target in self.targets
        ]
        return [outcome for found in await asyncio.gather(*loops) for outcome in found]


def traffic_to(server: Server, seed: int) -> Traffic:
    """Return the traffic for a server. The same seed gives the same requests."""
    host, port = server.rest
    return Traffic((GrpcTarget(server.grpc), HttpTarget(f"http://{host}:{port}/v2/rerank")), mixed_requests(seed))


def mixed_requests(seed: int) -> PreparedRequests:
    """Return requests of mixed sizes."""
    generator = random.Random(seed)
    sizes = generator.choices(_SIZES, _SHARES, k=_DIFFERENT)
    by_size = {size: Workload(size, _LENGTHS, seed=seed) for size in _SIZES}
    return PreparedRequests(tuple(by_size[size].request(number) for number, size in enumerate(sizes)))


def goodput(outcomes: Sequence[Outcome]) -> float:
    """Return the documents per second of the requests that were answered."""
    return sum(outcome.documents for outcome in outcomes if outcome.error is None) / _seconds(outcomes)


def _seconds(outcomes: Sequence[Outcome]) -> float:
    """Return the time from the start of the first call to the end of the last one."""
    return max(outcome.ended for outcome in outcomes) - min(outcome.begun for outcome in outcomes)
