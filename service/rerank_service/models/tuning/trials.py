"""Measuring engines beside a base, and judging each by its speed and its agreement with fp32."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.engine.available import Skipped
from rerank_service.engine.kinds import Engine, Precision
from rerank_service.models.tuning.candidates import Contest, NotLoaded
from rerank_service.models.tuning.gate import LEAST_TAU, Agreement
from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.record import Trial
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

WORTH = 1.05
"""Times the speed of fp32 that another engine must reach, to be worth its rounding."""

Measure = Callable[[Mapping[Engine, Score]], Mapping[Engine, float]]
"""Measures the tokens a second of a few engines in turn."""


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a tuning."""

    chosen: Engine
    trials: tuple[Trial, ...]
    skipped: tuple[Skipped, ...]
    """Engines that could not be measured."""

    @property
    def final(self) -> bool:
        """False if another start may find otherwise, so that this is not kept."""
        return not any(trial.undecided for trial in self.trials) and not any(one.passing for one in self.skipped)


def speeds_beside(contest: Contest, measure: Measure) -> tuple[dict[Engine, float], tuple[Skipped, ...]]:
    """Measure each engine in turn with the base (A B A B), so that what else the machine does falls on both.

    Speeds of different engines come from different moments: each is given as its ratio to the base, times the base's
    best speed.
    """
    base_speed, ratios, skipped = 0.0, {}, []
    for engine in contest.others:
        try:
            pair = _pair(contest, engine, measure)
        except NotLoaded as error:
            skipped.append(error.skipped)
        else:
            ratios[engine] = pair[engine] / pair[contest.base]
            base_speed = max(base_speed, pair[contest.base])
    if not ratios:
        base_speed = measure({contest.base: contest.base_score})[contest.base]
    return {contest.base: base_speed} | {one: ratio * base_speed for one, ratio in ratios.items()}, tuple(skipped)


def _pair(contest: Contest, engine: Engine, measure: Measure) -> Mapping[Engine, float]:
    """A function of its own, so that nothing holds the engine when the next one is loaded."""
    return measure({contest.base: contest.base_score, engine: contest.score_of(engine)})


class Reference:
    """The logits of fp32, computed once for each query."""

    def __init__(self, score: Score, queries: list[list[EncodedPair]], limits: BatchLimits, pad_id: int) -> None:
        self.queries = queries
        self._score = score
        self._limits = limits
        self._pad_id = pad_id
        self._known: dict[int, NDArray[np.float32]] = {}

    def tau(self, number: int, score: Score) -> float:
        """Agreement of another engine with fp32 on one query."""
        if number not in self._known:
            self._known[number] = self._logits(self._score, number)
        return kendall_tau_b(self._known[number], self._logits(score, number))

    def _logits(self, score: Score, number: int) -> NDArray[np.float32]:
        return logits(score, self.queries[number], self._limits, self._pad_id)


def judge(
    speeds: Mapping[Engine, float], base: Engine, agreement: Callable[[Engine], Agreement]
) -> tuple[Engine, tuple[Trial, ...]]:
    """The fastest engine that ranks as fp32 does, and what was found of each. `agreement` is
    asked from the fastest on, and no more once one was chosen."""
    chosen = base
    trials = []
    for engine in sorted(speeds, key=lambda one: -speeds[one]):
        ratio = speeds[engine] / speeds[base]
        said = f"{ratio:.2f} times {base}"
        seen = Agreement(0)
        undecided = False
        if engine == base:
            said = "exact" if base.precision is Precision.FP32 else "the one that others are compared with"
            verdict = said if chosen != base else f"{said}, and nothing faster ranks alike"
        elif chosen != base:
            verdict = f"{said}, and slower than {chosen}"
        elif ratio < WORTH:
            verdict = f"{said}, not worth its rounding"
        else:
            seen, told = _compared(engine, agreement)
            undecided = seen.holds is None
            verdict = f"{said}, {told}"
            chosen = engine if seen.holds else base
        trials.append(_trial(engine, speeds[engine], seen, verdict, undecided=undecided))
    return chosen, tuple(trials)


def _compared(engine: Engine, agreement: Callable[[Engine], Agreement]) -> tuple[Agreement, str]:
    """Return the agreement of an engine's ranking, and the same in words."""
    try:
        seen = agreement(engine)
    except NotLoaded as error:  # it was loaded a moment ago, to measure its speed
        return Agreement(1), f"could not be loaded again to compare its ranking: {error}"
    return seen, _told(seen)


def _told(seen: Agreement) -> str:
    if not seen.queries:
        return "no query of the parity set fits the model's window"
    if not seen.taus:
        return "no time left to compare its ranking: run `rerank tune`"
    tau = f"tau-b {seen.mean:.4f} over {counted(len(seen.taus), 'query')}"
    if seen.holds is None:
        return f"{tau}, too few to say: run `rerank tune`"
    return tau if seen.holds else f"{tau}, less than {LEAST_TAU}"


def _trial(engine: Engine, speed: float, seen: Agreement, verdict: str, *, undecided: bool) -> Trial:
    return Trial(
        undecided=undecided,
        provider=engine.provider,
        precision=engine.precision,
        tokens_per_second=round(speed, 1),
        tau=round(seen.mean, 6) if seen.taus else None,
        queries=len(seen.taus),
        verdict=verdict,
    )
