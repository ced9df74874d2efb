"""A machine that serves several models, on a simulated clock. A batch only takes time.

Admission, forecast, fair queue, lane shares and lane speed are the real ones.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from rerank_service.errors import DeadlineExceeded, Overloaded
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.lane_shares import BURST_SECONDS, CONTENDED_BATCH_SECONDS, LaneShares, ShareAccount, Turn
from rerank_service.scheduling.lane_speed import LaneSpeed
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.tools.loadtest.workload import Lengths
from support.limits import batch_limits

_DEADLINE = 5.0


@dataclass(slots=True, eq=False)
class _Call:
    """An accepted request."""

    begun: float
    left: int
    """Number of pairs not scored yet."""
    ticket: Ticket
    capacity: ExitStack


@dataclass(slots=True, eq=False)
class SimulatedModel:
    """A model, the requests that arrive for it, and what became of them."""

    name: str
    rate: float
    """Requests per second, at random times."""
    documents: Sequence[int]
    """Numbers of documents of a request; each is drawn equally often."""
    lane_speed: float = 8_500.0
    """Tokens per second of a lane, while as many lanes run as the model has."""
    lanes: int = 2
    weight: float = 1.0
    start: float = 0.0
    """Time of the first request, in seconds."""
    end: float = math.inf
    limits: BatchLimits = field(default_factory=batch_limits)
    lengths: Lengths = field(default_factory=Lengths)
    latencies: list[float] = field(init=False, default_factory=list)
    refused: int = field(init=False, default=0)
    late: int = field(init=False, default=0)
    busy_seconds: float = field(init=False, default=0.0)
    """Seconds of the whole machine that its batches took."""
    answered_tokens: int = field(init=False, default=0)
    queue: FairQueue[_Call, tuple[_Call, int]] = field(init=False)
    cost: CostModel = field(init=False)
    share: ShareAccount = field(init=False)
    admission: Admission = field(init=False)
    speed: LaneSpeed = field(init=False)

    def __post_init__(self) -> None:
        self.queue = FairQueue(self.limits, lanes=self.lanes)
        self.cost = CostModel((0.0005, 1e3 / self.lane_speed, 0.0))
        self.share = ShareAccount(self.name, self.weight)

    @property
    def has_work(self) -> bool:
        """True if pairs wait."""
        return self.queue.pairs > 0

    def p99(self) -> float:
        """Return the 99th percentile of the durations of answered requests, in seconds."""
        return sorted(self.latencies)[math.ceil(0.99 * len(self.latencies)) - 1]


class SimulatedMachine:
    """Runs models on shared lanes."""

    def __init__(
        self,
        *models: SimulatedModel,
        burst_seconds: float = BURST_SECONDS,
        batch_seconds: float = CONTENDED_BATCH_SECONDS,
        seed: int = 1,
    ) -> None:
        self.now = 0.0
        self.shares: LaneShares[SimulatedModel] = LaneShares(burst_seconds)
        self._models = models
        self._dice = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        for model in models:
            model.admission = Admission(10_000, 1e9, lambda: self.now)
            model.speed = LaneSpeed(model.cost, model.limits, lanes=model.lanes, contended_seconds=batch_seconds)
            self.shares.add(model, model.share, model.lanes)

    def run(self, seconds: float) -> None:
        """Let requests arrive for that long."""
        for model in self._models:
            at = model.start
            while (at := at + self._dice.expovariate(model.rate)) < min(seconds, model.end):
                sizes = [model.lengths.draw(self._dice) for _ in range(self._dice.choice(model.documents))]
                self._at(at, partial(self._arrive, model, sizes))
        while self._events and self._events[0][0] <= seconds:
            self.now, _, act = heapq.heappop(self._events)
            act()
            self._start_batches()

    def _at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._number), act))

    def _arrive(self, model: SimulatedModel, sizes: Sequence[int]) -> None:
        padded = [model.limits.padded(size) for size in sizes]
        length = sum(sizes) / len(sizes)
        contended = self.shares.has_others(model.share)
        speed = model.speed.tokens_per_second(length, model.queue.batch_tokens, contended=contended)
        fraction = self.shares.fraction(model.share, self.now)
        deadline, capacity = Deadline(self.now + _DEADLINE), ExitStack()
        try:
            ticket = capacity.enter_context(
                model.admission.admit(len(sizes), sum(padded), deadline, speed, 1.0, fraction)
            )
        except (Overloaded, DeadlineExceeded):
            model.refused += 1
            return
        call = _Call(self.now, len(sizes), ticket, capacity)
        capacity.callback(model.queue.leave, call)
        model.queue.enter(call)
        model.queue.add(call, [(size, (call, size)) for size in sizes])
        self._at(self.now + _DEADLINE, partial(self._expire, model, call))

    def _expire(self, model: SimulatedModel, call: _Call) -> None:
        if call.left:
            call.capacity.close()
            model.late += 1

    def _start_batches(self) -> None:
        while (turn := self.shares.start(lambda model: model.has_work)) is not None:
            model = turn.member
            contended = self.shares.has_others(model.share)
            batch = model.queue.take(max_rows=partial(model.speed.max_rows, contended=contended))
            padded = len(batch) * max(model.limits.padded(size) for _, size in batch)
            seconds = 0.0005 + padded / model.lane_speed
            self._at(self.now + seconds, partial(self._end, turn, batch, seconds))

    def _end(self, turn: Turn[SimulatedModel], batch: Sequence[tuple[_Call, int]], seconds: float) -> None:
        model = turn.member
        self.shares.end(turn, seconds, self.now)
        model.busy_seconds += seconds / model.lanes
        for call, size in batch:
            padded = model.limits.padded(size)
            call.ticket.reduce(padded)
            call.left -= 1
            model.answered_tokens += padded
            if not call.left and self.now - call.begun < _DEADLINE:
                call.capacity.close()
                model.latencies.append(self.now - call.begun)
