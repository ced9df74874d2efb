"""In the background after a first start: seconds, one thread, beside the requests.

It chooses the engine and nothing else: budgets and lanes are `rerank tune`'s, which has the machine for itself.
"""

import threading
import time
from collections.abc import Mapping

from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.gate import Agreement
from rerank_service.models.tuning.record import Trial
from rerank_service.models.tuning.throughput import Clock, Score, throughput
from rerank_service.models.tuning.trials import Reference, judge
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

SECONDS = 10.0
"""That a short tuning may take, loading the engines included."""
_FOR_SPEED = 0.3
"""Share of its time, at most, that is spent on speeds."""
_ROUNDS = 5
QUERIES = 16
"""Of the parity set, that agreement is measured on."""
DOCUMENT_TOKENS = 64
"""Of each of their documents: the whole ones would take too long."""


class Halted(Exception):
    """The server is stopping."""


def tune_short(
    scores: Mapping[Engine, Score],
    base: Engine,
    queries: list[list[EncodedPair]],
    *,
    limits: BatchLimits,
    pad_id: int,
    ends: float,
    halt: threading.Event,
    clock: Clock = time.perf_counter,
) -> tuple[Engine, tuple[Trial, ...]]:
    """The engine to use from now on, and what was found of each, at the latest a query after `ends` on the clock.

    Raises:
        Halted: it was told to.
    """
    begun = clock()
    speeds = _speeds(scores, queries, limits, pad_id, begun + _FOR_SPEED * (ends - begun), halt, clock)
    reference = Reference(scores[base], queries, limits, pad_id)

    def agreement(engine: Engine) -> Agreement:
        seen = Agreement(len(queries))
        for number in range(len(queries)):
            if halt.is_set():
                raise Halted
            if seen.holds is False or clock() > ends:
                break
            seen = seen.and_(reference.tau(number, scores[engine]))
        return seen

    return judge(speeds, base, agreement)


def _speeds(
    scores: Mapping[Engine, Score],
    queries: list[list[EncodedPair]],
    limits: BatchLimits,
    pad_id: int,
    ends: float,
    halt: threading.Event,
    clock: Clock,
) -> dict[Engine, float]:
    """The best tokens a second that one lane has reached, of a few rounds in turn: what disturbs only slows."""
    sample = [pair for number, query in enumerate(queries) for pair in query[number % len(query) :][:1]]
    best = dict.fromkeys(scores, 0.0)
    for _ in range(_ROUNDS):
        for engine, score in scores.items():
            if halt.is_set():
                raise Halted
            speed = throughput(score, sample, limits, pad_id=pad_id, lanes=1, clock=clock)
            best[engine] = max(best[engine], speed)
        if clock() >= ends:
            break
    return best
