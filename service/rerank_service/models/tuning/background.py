"""The short tuning: some seconds in the background after a first start, on one thread, beside requests.

It chooses the engine only. `rerank tune`, which has the machine for itself, also chooses batch sizes and lanes.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.engine_choice import (
    ReferenceLogits,
    TuningOutcome,
    choose_engine,
    measure_beside_base,
)
from rerank_service.models.tuning.engine_loader import EngineNotLoaded, EngineSet
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.throughput import Clock, Score, throughput
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

_SPEED_SHARE = 0.3
"""Maximum share of the time that is spent on measuring speeds."""
_ROUNDS = 3
QUERIES = 16
"""Number of queries of the parity set whose rankings are compared."""
DOCUMENT_TOKENS = 64
"""Tokens to which each document of these queries is cut. Whole documents would take too long."""


class TuningCancelled(Exception):
    """The server is shutting down."""


@dataclass(frozen=True, slots=True)
class TuningTime:
    """The deadline of a tuning, and its cancellation by a shutdown."""

    deadline: float
    """A time of `clock`, in seconds."""
    halt: threading.Event
    """Set when the server shuts down."""
    clock: Clock = time.perf_counter

    @property
    def is_over(self) -> bool:
        """True after the deadline."""
        return self.clock() > self.deadline

    def check(self) -> None:
        """Raise TuningCancelled if the server is shutting down."""
        if self.halt.is_set():
            raise TuningCancelled


def tune_short(
    engines: EngineSet, queries: list[list[EncodedPair]], *, limits: BatchLimits, pad_id: int, time: TuningTime
) -> TuningOutcome:
    """Choose the engine to serve with.

    It may exceed the deadline by the ranking of one query and the loading of one engine.

    Raises:
        TuningCancelled: the server is shutting down.
    """
    engines = _load_until_deadline(engines, time)
    sample = [pair for number, query in enumerate(queries) for pair in query[number % len(query) :][:1]]

    seconds_per_engine = _SPEED_SHARE * (time.deadline - time.clock()) / max(1, len(engines.others))

    def speeds(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        return _best_speeds(
            scores,
            lambda score: throughput(score, sample, limits, pad_id=pad_id, lanes=1, clock=time.clock),
            replace(time, deadline=time.clock() + seconds_per_engine),
        )

    measured, skipped = measure_beside_base(engines, speeds)
    reference = ReferenceLogits(engines.base_score, queries, limits, pad_id)

    def compare(engine: Engine) -> RankingComparison:
        comparison = RankingComparison(len(queries))
        for number in range(len(queries)):
            time.check()
            if comparison.passes is False or time.is_over:
                break
            comparison = comparison.with_tau(reference.tau(number, engines.score_of(engine)))
        return comparison

    return TuningOutcome(*choose_engine(measured, engines.base, compare, skipped), skipped)


def _load_until_deadline(engines: EngineSet, time: TuningTime) -> EngineSet:
    """Return the same engines, which no longer load after the deadline."""

    def score_of(engine: Engine) -> Score:
        time.check()
        if time.is_over:
            raise EngineNotLoaded(
                SkippedEngine(engine, "no time left to measure it: run `rerank tune`", transient=True)
            )
        return engines.score_of(engine)

    return replace(engines, score_of=score_of)


def _best_speeds(
    scores: Mapping[Engine, Score], speed: Callable[[Score], float], time: TuningTime
) -> dict[Engine, float]:
    """Measure all alternately for some rounds, and return the best speed of each: other load only slows them down."""
    best = dict.fromkeys(scores, 0.0)
    for _ in range(_ROUNDS):
        for engine, score in scores.items():
            time.check()
            best[engine] = max(best[engine], speed(score))
        if time.is_over:
            break
    return best
