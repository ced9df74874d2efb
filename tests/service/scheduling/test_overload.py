"""More than two lanes can do, on a clock that stands still while nothing happens: who was let in is answered in time.

The queue, the forecast and the door are the real ones; the lanes only take as long as batches would.
"""

import heapq
import itertools
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from rerank_service.errors import Overloaded
from rerank_service.scheduling.admission import Admission, Ticket
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.tools.loadtest.workload import Lengths
from support.limits import batch_limits

LIMITS = batch_limits()
LANES = 2
SPEED = 8_500.0
"""Tokens a second of a lane."""
BATCH = 0.0005
"""Seconds of a batch, besides its tokens'."""
SECONDS, DEADLINE = 40.0, 5.0


@dataclass(slots=True)
class _Call:
    """A request that was let in."""

    lengths: Sequence[int]
    left: int
    """Pairs not scored."""
    ticket: Ticket
    room: ExitStack


@dataclass(slots=True)
class _Told:
    answered: int = 0
    late: int = 0
    refused: int = 0
    tokens: int = 0
    """Of answered requests."""


class _Machine:
    """Arrivals, batches that end and deadlines, in the order of their times."""

    def __init__(self, optimism: float) -> None:
        """`optimism`: how many times its speed the machine is taken for."""
        self.now = 0.0
        self.told = _Told()
        self._forecast = optimism * SPEED * LANES
        self._queue: FairQueue[int, tuple[int, int]] = FairQueue(LIMITS, lanes=LANES)
        self._admission = Admission(10_000, 1e9, lambda: self.now)
        self._calls: dict[int, _Call] = {}
        self._free = LANES
        self._events: list[tuple[float, int, str, object]] = []
        self._number = itertools.count()

    def run(self, requests: Sequence[Sequence[int]], rate: float) -> _Told:
        """So many requests a second, for `SECONDS`."""
        for number, lengths in enumerate(requests[: round(rate * SECONDS)]):
            self._at(number / rate, "arrive", lengths)
        while self._events and self._events[0][0] <= SECONDS:
            self.now, _, kind, what = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(what)
            self._start_batches()
        return self.told

    def _at(self, time: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (time, next(self._number), kind, what))

    def _arrive(self, lengths: Sequence[int]) -> None:
        number, tokens, room = next(self._number), sum(map(LIMITS.padded, lengths)), ExitStack()
        try:
            ticket = room.enter_context(
                self._admission.admit(len(lengths), tokens, Deadline(self.now + DEADLINE), self._forecast)
            )
        except Overloaded:
            self.told.refused += 1
            return
        room.callback(self._queue.leave, number)
        self._calls[number] = _Call(lengths, len(lengths), ticket, room)
        self._queue.enter(number)
        self._queue.add(number, [(length, (number, length)) for length in lengths])
        self._at(self.now + DEADLINE, "expire", number)

    def _expire(self, number: int) -> None:
        if call := self._calls.pop(number, None):
            call.room.close()
            self.told.late += 1

    def _end(self, batch: Sequence[tuple[int, int]]) -> None:
        self._free += 1
        for number, length in batch:
            if call := self._calls.get(number):
                call.ticket.reduce(LIMITS.padded(length))
                call.left -= 1
                if not call.left:
                    self._calls.pop(number).room.close()
                    self.told.answered += 1
                    self.told.tokens += sum(map(LIMITS.padded, call.lengths))

    def _start_batches(self) -> None:
        while self._free and (batch := self._queue.take()):
            self._free -= 1
            padded = len(batch) * max(LIMITS.padded(length) for _, length in batch)
            self._at(self.now + BATCH + padded / SPEED, "end", batch)


@pytest.mark.parametrize("sizes", [(10,), (3, 10, 25, 100)], ids=["small", "mixed"])
@pytest.mark.parametrize(("optimism", "late", "done"), [(1.0, 0.01, 0.9), (1.15, 0.03, 0.85)])
def test_at_twice_the_load_nearly_all_that_is_let_in_is_in_time(
    sizes: Sequence[int], optimism: float, late: float, done: float
) -> None:
    """And the lanes do as much for it as they can, though the machine is slower than it is taken for."""
    dice, lengths = random.Random(1), Lengths()
    requests = [[lengths.draw(dice) for _ in range(dice.choice(sizes))] for _ in range(2_000)]
    tokens = sum(LIMITS.padded(length) for request in requests for length in request) / len(requests)
    told = _Machine(optimism).run(requests, rate=2 * SPEED * LANES / tokens)
    assert told.late <= late * told.answered
    assert told.refused > 0
    assert told.tokens >= done * SPEED * LANES * SECONDS
