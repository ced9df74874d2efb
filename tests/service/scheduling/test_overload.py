"""Overload: accepted requests meet their deadlines, and the lanes stay busy.

Covers admission, forecast and fair_queue together, on a simulated clock. The lanes are simulated, too: a batch only
takes time.
"""

import heapq
import itertools
import math
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from rerank_service.errors import Overloaded
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.tools.loadtest.workload import Lengths
from support.limits import batch_limits

LIMITS = batch_limits()
LANES = 2
SPEED = 8_500.0
"""Speed of a lane in tokens per second."""
BATCH = 0.0005
"""Fixed seconds of each batch."""
SECONDS, DEADLINE = 40.0, 5.0


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that arrives."""

    lengths: Sequence[int]
    seconds: float = DEADLINE
    """Time until its deadline."""
    priority: int = 0


@dataclass(slots=True)
class _Call:
    """An accepted request."""

    request: _Request
    left: int
    """Number of pairs not scored yet."""
    ticket: Ticket
    capacity: ExitStack


@dataclass(slots=True)
class _Counts:
    answered: int = 0
    late: int = 0
    refused: int = 0
    tokens: int = 0
    """Tokens of the answered requests."""


class _Machine:
    """Simulates arrivals, batches and deadlines in the order of their times."""

    def __init__(self, optimism: float) -> None:
        """`optimism` is the assumed speed divided by the real speed."""
        self.now = 0.0
        self.counts: dict[int, _Counts] = {}
        """Those of each priority."""
        self._forecast = optimism * SPEED * LANES
        self._queue: FairQueue[int, tuple[int, int]] = FairQueue(LIMITS, lanes=LANES)
        self._admission = Admission(10_000, 1e9, lambda: self.now)
        self._calls: dict[int, _Call] = {}
        self._free = LANES
        self._events: list[tuple[float, int, str, object]] = []
        self._number = itertools.count()

    def send(self, requests: Sequence[_Request], rate: float) -> None:
        """Let `rate` requests of one priority arrive per second, for `SECONDS`."""
        self.counts[requests[0].priority] = _Counts()
        for number, request in enumerate(requests[: round(rate * SECONDS)]):
            self._at(number / rate, "arrive", request)

    def run(self) -> None:
        """Let all happen until `SECONDS`."""
        while self._events and self._events[0][0] <= SECONDS:
            self.now, _, kind, what = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(what)
            self._start_batches()

    def _at(self, time: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (time, next(self._number), kind, what))

    def _arrive(self, request: _Request) -> None:
        number, lengths, capacity = next(self._number), request.lengths, ExitStack()
        tokens, deadline, priority = _tokens(request), Deadline(self.now + request.seconds), request.priority
        try:
            ticket = capacity.enter_context(
                self._admission.admit(len(lengths), tokens, deadline, self._forecast, 1.0, priority=priority)
            )
        except Overloaded:
            self.counts[priority].refused += 1
            return
        capacity.callback(self._queue.leave, number)
        self._calls[number] = _Call(request, len(lengths), ticket, capacity)
        self._queue.enter(number, priority=priority)
        self._queue.add(number, [(length, (number, length)) for length in lengths])
        self._at(deadline.at, "expire", number)

    def _expire(self, number: int) -> None:
        if call := self._calls.pop(number, None):
            call.capacity.close()
            self.counts[call.request.priority].late += 1

    def _end(self, batch: Sequence[tuple[int, int]]) -> None:
        self._free += 1
        for number, length in batch:
            if call := self._calls.get(number):
                call.ticket.reduce(LIMITS.padded(length))
                call.left -= 1
                if not call.left:
                    self._calls.pop(number).capacity.close()
                    counts = self.counts[call.request.priority]
                    counts.answered += 1
                    counts.tokens += _tokens(call.request)

    def _start_batches(self) -> None:
        while self._free and (batch := self._queue.take()):
            self._free -= 1
            padded = len(batch) * max(LIMITS.padded(length) for _, length in batch)
            self._at(self.now + BATCH + padded / SPEED, "end", batch)


def _tokens(request: _Request) -> int:
    return sum(map(LIMITS.padded, request.lengths))


def _rate(requests: Sequence[_Request], load: float) -> float:
    """Return the requests per second that are `load` times the capacity."""
    return load * SPEED * LANES * len(requests) / sum(map(_tokens, requests))


@pytest.mark.parametrize("sizes", [(10,), (3, 10, 25, 100)], ids=["small", "mixed"])
@pytest.mark.parametrize(("optimism", "late", "done"), [(1.0, 0.01, 0.9), (1.15, 0.03, 0.85)])
def test_accepted_requests_meet_their_deadlines_at_twice_the_capacity(
    sizes: Sequence[int], optimism: float, late: float, done: float
) -> None:
    """The lanes stay busy, also if the machine is slower than assumed."""
    dice, lengths = random.Random(1), Lengths()
    requests = [_Request([lengths.draw(dice) for _ in range(dice.choice(sizes))]) for _ in range(2_000)]
    machine = _Machine(optimism)
    machine.send(requests, _rate(requests, load=2.0))
    machine.run()
    counts = machine.counts[0]
    assert counts.late <= late * counts.answered
    assert counts.refused > 0
    assert counts.tokens >= done * SPEED * LANES * SECONDS


@pytest.mark.parametrize(("priority", "refused"), [(-1, 0.02), (1, math.inf)], ids=["urgent", "less urgent"])
def test_priorities_count_at_twice_the_capacity(priority: int, refused: float) -> None:
    """Small requests, a fifth of the capacity, beside ordinary ones that use up the time that is planned for them. No
    accepted one is late. Hardly any small one is refused if it is urgent."""
    dice, lengths = random.Random(1), Lengths()
    small = [_Request([lengths.draw(dice) for _ in range(10)], DEADLINE, priority) for _ in range(1_000)]
    ordinary = [_Request([lengths.draw(dice) for _ in range(30)], 4 * DEADLINE) for _ in range(1_000)]
    machine = _Machine(1.0)
    machine.send(small, _rate(small, load=0.2))
    machine.send(ordinary, _rate(ordinary, load=2.0))
    machine.run()
    assert machine.counts[0].refused > 0
    assert all(counts.late == 0 and counts.answered > 0 for counts in machine.counts.values())
    assert machine.counts[priority].refused <= refused * machine.counts[priority].answered
