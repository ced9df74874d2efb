"""In the background after a first start: seconds, one thread, beside the requests.

It chooses the engine and nothing else: budgets and lanes are `rerank tune`'s, which has the machine for itself.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rerank_service.engine.available import Skipped
from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.candidates import Contest, NotLoaded
from rerank_service.models.tuning.gate import Agreement
from rerank_service.models.tuning.throughput import Clock, Score, throughput
from rerank_service.models.tuning.trials import Found, Reference, judge, speeds_beside
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

SECONDS = 10.0
"""Maximum time of a short tuning, loading the engines included."""
_FOR_SPEED = 0.3
"""Share of its time, at most, that is spent on speeds."""
_ROUNDS = 3
QUERIES = 16
"""Of the parity set, that agreement is measured on."""
DOCUMENT_TOKENS = 64
"""Of each of their documents: the whole ones would take too long."""


class Halted(Exception):
    """The server is stopping."""


@dataclass(frozen=True, slots=True)
class Time:
    """The end of a tuning: a moment on a clock, or the server's stop."""

    ends: float
    halt: threading.Event
    clock: Clock = time.perf_counter

    @property
    def is_over(self) -> bool:
        """True once the moment has passed."""
        return self.clock() > self.ends

    def check(self) -> None:
        """Raise Halted if the server is stopping."""
        if self.halt.is_set():
            raise Halted


def tune_short(
    contest: Contest, queries: list[list[EncodedPair]], *, limits: BatchLimits, pad_id: int, time: Time
) -> Found:
    """Find the engine to use from now on, at the latest a query and the loading of an engine after the time is over.

    Raises:
        Halted: the server is stopping.
    """
    contest = _in_time(contest, time)
    sample = [pair for number, query in enumerate(queries) for pair in query[number % len(query) :][:1]]

    share = _FOR_SPEED * (time.ends - time.clock()) / max(1, len(contest.others))

    def speeds(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        return _best(
            scores,
            lambda score: throughput(score, sample, limits, pad_id=pad_id, lanes=1, clock=time.clock),
            replace(time, ends=time.clock() + share),
        )

    measured, skipped = speeds_beside(contest, speeds)
    reference = Reference(contest.base_score, queries, limits, pad_id)

    def agreement(engine: Engine) -> Agreement:
        seen = Agreement(len(queries))
        for number in range(len(queries)):
            time.check()
            if seen.holds is False or time.is_over:
                break
            seen = seen.and_(reference.tau(number, contest.score_of(engine)))
        return seen

    return Found(*judge(measured, contest.base, agreement), skipped)


def _in_time(contest: Contest, time: Time) -> Contest:
    """The same, with nothing loaded once the time is over."""

    def score_of(engine: Engine) -> Score:
        time.check()
        if time.is_over:
            raise NotLoaded(Skipped(engine, "no time left to measure it: run `rerank tune`", passing=True))
        return contest.score_of(engine)

    return replace(contest, score_of=score_of)


def _best(scores: Mapping[Engine, Score], speed: Callable[[Score], float], time: Time) -> dict[Engine, float]:
    """Measure in turn for a few rounds, and keep the best of each: what disturbs only slows."""
    best = dict.fromkeys(scores, 0.0)
    for _ in range(_ROUNDS):
        for engine, score in scores.items():
            time.check()
            best[engine] = max(best[engine], speed(score))
        if time.is_over:
            break
    return best
