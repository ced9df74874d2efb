"""The short tuning: up to a minute in the background after a first start, on one thread, beside requests.

It chooses the engine only. `rerank tune`, which has the machine for itself, also chooses batch sizes and lanes.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.engine_choice import (
    MIN_SPEEDUP,
    LimitsOn,
    ReferenceLogits,
    TuningOutcome,
    choose_engine,
    measure_beside_base,
)
from rerank_service.models.tuning.engine_loader import EngineNotLoaded, EngineSet
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.throughput import Clock, Score, throughput
from rerank_service.models.tuning.undecided import explain_undecided
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

_SPEED_SHARE = 0.3
"""Maximum share of the time that is spent on measuring speeds."""
_MIN_ROUNDS = 2
"""Minimum rounds of a measurement of speed: the first run of an engine is slower, since it allocates memory."""
_MAX_ROUNDS = 3
_CLEAR_FACTOR = 1.25
"""A speed is clear if it differs from the minimum speedup by this factor. Then no further round is measured."""
_SPEED_PAIRS = 16
"""Number of pairs with which speed is measured."""
QUERIES = 16
"""Number of queries of the parity set whose rankings are compared."""
ENOUGH_QUERIES = 8
"""Number of these queries after which a clear result counts (docs/decisions/0050-relevance-loss.md)."""
_HOPELESS_FACTOR = 2.0
"""A comparison is given up if it needs this many times the time that is left. Other load may slow its first queries."""
DOCUMENT_TOKENS = 64
"""Tokens to which each document of these queries is cut. Whole documents would take too long."""


class TuningCancelled(Exception):
    """The tuning was given up: its version takes no more requests, or other models need its memory."""


@dataclass(frozen=True, slots=True)
class TuningTime:
    """The deadline of a tuning, and its cancellation."""

    seconds: float
    """Maximum duration."""
    deadline: float
    """A time of `clock`, in seconds."""
    halt: threading.Event
    """Set when the tuning is given up."""
    clock: Clock = time.perf_counter
    cpu_clock: Clock = time.process_time
    """The CPU time of the process, in seconds."""

    @classmethod
    def start(
        cls,
        seconds: float,
        halt: threading.Event,
        clock: Clock = time.perf_counter,
        cpu_clock: Clock = time.process_time,
    ) -> "TuningTime":
        """Return the time of a tuning that starts now."""
        return cls(seconds, clock() + seconds, halt, clock, cpu_clock)

    def cpu_clock_of(self, engines: Iterable[Engine]) -> Clock | None:
        """Return the clock of the CPU time that engines need; None if one of them computes on a GPU.

        Each engine computes on one thread here, so on an idle machine, a run takes as long as its CPU time. Other load
        lengthens a run by a random amount. It hardly changes its CPU time.
        """
        return self.cpu_clock if all(engine.device == "cpu" for engine in engines) else None

    @property
    def is_over(self) -> bool:
        """True after the deadline."""
        return self.clock() > self.deadline

    def check(self) -> None:
        """Raise TuningCancelled if the tuning is given up."""
        if self.halt.is_set():
            raise TuningCancelled


def tune_short(
    engines: EngineSet, queries: list[list[EncodedPair]], *, limits_on: LimitsOn, pad_id: int, time: TuningTime
) -> TuningOutcome:
    """Choose the engine to serve with.

    Engines are measured in the order of `engines.others`. The ranking of a clearly faster engine is compared at once,
    while the engine is loaded, so that the most promising one is decided first.

    It may exceed the deadline by the loading of one engine and one round of measurements, or by the ranking of one
    query.

    Raises:
        TuningCancelled: the tuning is given up.
    """
    engines = _load_until_deadline(engines, time)
    sample = _speed_sample(queries)
    seconds_per_engine = _SPEED_SHARE * (time.deadline - time.clock()) / max(1, len(engines.others))
    rankings = _Rankings(ReferenceLogits(engines, queries, limits_on, pad_id), engines, time)

    def measure(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        cpu_clock = time.cpu_clock_of(scores)
        speeds = _best_speeds(
            scores,
            lambda engine, score: throughput(
                score,
                sample,
                _full_batches(limits_on(engine)),
                pad_id=pad_id,
                lanes=1,
                clock=time.clock,
                cpu_clock=cpu_clock,
            ),
            replace(time, deadline=min(time.deadline, time.clock() + seconds_per_engine)),
        )
        for engine, speed in speeds.items():
            if engine != engines.base:
                rankings.compare_if_promising(engine, speed / speeds[engines.base])
        return speeds

    measured, skipped = measure_beside_base(engines, measure)
    outcome = TuningOutcome(*choose_engine(measured, engines.base, rankings.compare), skipped)
    return explain_undecided(outcome, engines.base, time.seconds if time.is_over else None)


def _speed_sample(queries: list[list[EncodedPair]]) -> list[EncodedPair]:
    """Return the pairs with which speed is measured: those around the median length. They are similar, so that batches
    can be full."""
    pairs = sorted((pair for query in queries for pair in query), key=len)
    start = max(0, len(pairs) - _SPEED_PAIRS) // 2
    return pairs[start : start + _SPEED_PAIRS]


def _full_batches(limits: BatchLimits) -> BatchLimits:
    """Return limits with which no batch but the last is smaller than it may be, as when many pairs wait.

    Small batches would favour engines that need little time to begin one.
    """
    return replace(limits, min_tokens=limits.max_tokens)


class _Rankings:
    """The comparisons of rankings with the base engine, each done once."""

    def __init__(self, reference: ReferenceLogits, engines: EngineSet, time: TuningTime) -> None:
        self._reference = reference
        self._engines = engines
        self._time = time
        self._comparisons: dict[Engine, RankingComparison] = {}
        self._best_speedup = _CLEAR_FACTOR * MIN_SPEEDUP
        """Speed that an engine must exceed to be promising, as a multiple of the base engine's."""

    def compare_if_promising(self, engine: Engine, speedup: float) -> None:
        """Compare the ranking of an engine that is clearly faster than the base and all engines that match so far."""
        if speedup > self._best_speedup and self.compare(engine).passes:
            self._best_speedup = speedup

    def compare(self, engine: Engine) -> RankingComparison:
        """Return the comparison of an engine's ranking. It is incomplete after the deadline.

        Raises:
            EngineNotLoaded: the engine does not load again, or fails on a batch.
            TuningCancelled: the tuning is given up.
        """
        if engine not in self._comparisons:
            self._comparisons[engine] = self._compare(engine)
        return self._comparisons[engine]

    def _compare(self, engine: Engine) -> RankingComparison:
        total, started = len(self._reference.queries), self._time.clock()
        comparison = RankingComparison(total, enough=ENOUGH_QUERIES)
        for number in range(total):
            self._time.check()
            if comparison.passes is not None or self._time.is_over or self._is_hopeless(comparison, started):
                break
            logits = self._reference.with_other(number, engine, self._engines.score_of(engine))
            comparison = comparison.with_query(*logits)
        return comparison

    def _is_hopeless(self, comparison: RankingComparison, started: float) -> bool:
        """Return whether the time is far too short for enough queries: a large model need not slow down requests."""
        now = self._time.clock()
        missing = min(ENOUGH_QUERIES, comparison.queries) - comparison.compared
        seconds_per_query = (now - started) / max(1, comparison.compared)
        return missing * seconds_per_query > _HOPELESS_FACTOR * (self._time.deadline - now)


def _load_until_deadline(engines: EngineSet, time: TuningTime) -> EngineSet:
    """Return the same engines, which no longer load after the deadline."""

    def load(engine: Engine) -> Score:
        time.check()
        if time.is_over:
            raise EngineNotLoaded(
                SkippedEngine(engine, "no time left to measure it: run `rerank tune`", transient=True)
            )
        return engines.load(engine)

    return replace(engines, load=load)


def _best_speeds(
    scores: Mapping[Engine, Score], speed: Callable[[Engine, Score], float], time: TuningTime
) -> dict[Engine, float]:
    """Measure all alternately until the ratio is clear, and return the best speed of each.

    The best speed counts, because other load on the machine only slows engines down.
    """
    best = dict.fromkeys(scores, 0.0)
    for round_number in range(1, _MAX_ROUNDS + 1):
        for engine, score in scores.items():
            time.check()
            best[engine] = max(best[engine], speed(engine, score))
        if time.is_over or (round_number >= _MIN_ROUNDS and _is_clear(list(best.values()))):
            break
    return best


def _is_clear(speeds: list[float]) -> bool:
    """Return whether the speeds of the base and of another engine differ clearly from the minimum speedup."""
    base, *others = speeds
    return all(not MIN_SPEEDUP / _CLEAR_FACTOR <= other / base <= MIN_SPEEDUP * _CLEAR_FACTOR for other in others)
