"""Measure engines beside a base engine, and choose the fastest one whose ranking matches fp32."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import Engine, Precision
from rerank_service.models.tuning.engine_loader import EngineNotLoaded, EngineSet
from rerank_service.models.tuning.ranking_change import Logits, mean_tau
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.record import EngineMeasurement
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

MIN_SPEEDUP = 1.05
"""Minimum speed of an engine, as a multiple of another one's. Below it, the engines count as equally fast: measurements
differ by more from time to time, and such a gain does not justify rounding."""
_BITS = {Precision.FP32: 32, Precision.BF16: 16, Precision.FP16: 16, Precision.INT8: 8}

LimitsOn = Callable[[Engine], BatchLimits]
"""Returns the batch limits with which an engine is measured: its own, because an engine may need a certain padding."""
Measure = Callable[[Mapping[Engine, Score]], Mapping[Engine, float]]
"""Measures engines alternately. Returns tokens per second."""


@dataclass(frozen=True, slots=True)
class TuningOutcome:
    """The chosen engine and all measurements."""

    chosen: Engine
    trials: tuple[EngineMeasurement, ...]
    """Measurements of all engines that ran, the fastest first."""
    skipped: tuple[SkippedEngine, ...]
    """Engines that could not be measured."""

    @property
    def final(self) -> bool:
        """False if another start may come to another result, so that this one is provisional."""
        return not any(trial.undecided for trial in self.trials) and not any(
            skipped.transient for skipped in self.skipped
        )

    def with_verdict(self, engine: Engine, verdict: str) -> "TuningOutcome":
        """Return the outcome with another verdict on an engine. Measurements do not say whether it has CUDA graphs."""
        measured = replace(engine, cuda_graphs=False)
        trials = (
            trial.model_copy(update={"verdict": verdict}) if trial.engine == measured else trial
            for trial in self.trials
        )
        return replace(self, trials=tuple(trials))


def measure_beside_base(engines: EngineSet, measure: Measure) -> tuple[dict[Engine, float], tuple[SkippedEngine, ...]]:
    """Measure each engine alternately with the base (A B A B), so that other load on the machine affects both.

    Returns the tokens per second of each engine, and the engines that did not load or run. Engines are measured at
    different times, so each speed is the engine's ratio to the base, times the best speed of the base.

    Raises:
        EngineNotLoaded: the base fails.
    """
    base_speed, ratios, skipped = 0.0, {}, []
    for engine in engines.others:
        try:
            speeds = _measure_with_base(engines, engine, measure)
        except EngineNotLoaded as error:
            if error.skipped.engine == engines.base:  # nothing can be measured beside it
                raise
            skipped.append(error.skipped)
        else:
            ratios[engine] = speeds[engine] / speeds[engines.base]
            base_speed = max(base_speed, speeds[engines.base])
    if not ratios:
        base_speed = measure({engines.base: engines.base_score})[engines.base]
    return {engines.base: base_speed} | {engine: ratio * base_speed for engine, ratio in ratios.items()}, tuple(skipped)


def _measure_with_base(engines: EngineSet, engine: Engine, measure: Measure) -> Mapping[Engine, float]:
    # A function of its own, so that no variable references the engine when the next one is loaded.
    return measure({engines.base: engines.base_score, engine: engines.score_of(engine)})


class ReferenceLogits:
    """The logits of the base engine, computed once per query. Each engine has its own batch limits."""

    def __init__(self, engines: EngineSet, queries: list[list[EncodedPair]], limits_on: LimitsOn, pad_id: int) -> None:
        self.queries = queries
        self._base, self._score = engines.base, engines.base_score
        self._limits_on = limits_on
        self._pad_id = pad_id
        self._computed: dict[int, Logits] = {}

    def with_other(self, number: int, engine: Engine, score: Score) -> tuple[Logits, Logits]:
        """Return the logits of the base engine and of another engine for the query of this number."""
        if number not in self._computed:
            self._computed[number] = self._logits(self._base, self._score, number)
        return self._computed[number], self._logits(engine, score, number)

    def _logits(self, engine: Engine, score: Score, number: int) -> Logits:
        return logits(score, self.queries[number], self._limits_on(engine), self._pad_id)


def choose_engine(
    speeds: Mapping[Engine, float], base: Engine, compare: Callable[[Engine], RankingComparison]
) -> tuple[Engine, tuple[EngineMeasurement, ...]]:
    """Return the fastest engine whose ranking matches the base engine's, and a verdict on each engine.

    Of equally fast engines, it is the most precise one. `compare` compares the ranking of an engine with the base's. It
    is called from the best engine on, until one is chosen.

    Raises:
        EngineNotLoaded: the base fails while an engine is compared with it.
    """
    chosen = base
    trials = []
    for engine in _best_first(speeds):
        speed = f"{speeds[engine] / speeds[base]:.2f} times {base}"
        comparison = RankingComparison(0)
        undecided = False
        if engine == base:
            verdict = ""  # it depends on the choice
        elif chosen != base:
            slower = speeds[engine] < speeds[chosen]
            verdict = f"{speed}: {'slower than' if slower else 'as fast as, and less precise than,'} {chosen}"
        elif not _clearly_faster(speeds[engine], speeds[base]):
            verdict = f"{speed}: less than {MIN_SPEEDUP}, not worth the rounding"
        else:
            comparison, result = _compare(engine, compare)
            undecided = comparison.passes is None
            verdict = f"{speed}, {result}"
            chosen = engine if comparison.passes else base
        trials.append(_measurement(engine, speeds[engine], comparison, verdict, undecided=undecided))
    settled = [_settled(trial, speeds[chosen]) if chosen != base else trial for trial in trials]
    words = _base_verdict(base, is_chosen=chosen == base)
    settled = [trial if trial.verdict else trial.model_copy(update={"verdict": words}) for trial in settled]
    return chosen, tuple(sorted(settled, key=lambda trial: -trial.tokens_per_second))


def _settled(trial: EngineMeasurement, speed: float) -> EngineMeasurement:
    """Return a measurement that needs no other tuning if the chosen engine, with this speed, is as fast."""
    undecided = trial.undecided and _clearly_faster(trial.tokens_per_second, speed)
    return trial.model_copy(update={"undecided": undecided})


def _clearly_faster(speed: float, other: float) -> bool:
    return speed >= MIN_SPEEDUP * other


def _best_first(speeds: Mapping[Engine, float]) -> Iterator[Engine]:
    """Yield the engines, the fastest first; of equally fast ones, the most precise."""
    left = sorted(speeds, key=lambda engine: -speeds[engine])
    while left:
        equal = [engine for engine in left if not _clearly_faster(speeds[left[0]], speeds[engine])]
        best = max(equal, key=lambda engine: _BITS[engine.precision])
        left.remove(best)
        yield best


def _base_verdict(base: Engine, *, is_chosen: bool) -> str:
    return f"{base_name(base)}, and no faster engine matches its ranking" if is_chosen else base_name(base)


def base_name(base: Engine) -> str:
    """Return the words for a base engine at the start of its verdict."""
    return "exact" if base.precision is Precision.FP32 else "the base of the comparison"


def _compare(engine: Engine, compare: Callable[[Engine], RankingComparison]) -> tuple[RankingComparison, str]:
    """Return the comparison of an engine's ranking, and the same in words."""
    try:
        comparison = compare(engine)
    except EngineNotLoaded as error:  # it worked before, when its speed was measured
        if error.skipped.engine != engine:  # the base, with which it is compared
            raise
        return RankingComparison(1), f"ranking not compared: {error}"
    return comparison, _in_words(comparison)


def _in_words(comparison: RankingComparison) -> str:
    change = comparison.change
    if change is None:
        return "ranking not compared: no time left, run `rerank tune`"
    loss = f"relevance loss {change.mean_loss:.4f} over {counted(comparison.compared, 'query')}"
    if comparison.passes is None:
        return f"{loss}: not enough queries to decide, run `rerank tune`"
    return loss if comparison.passes else f"{loss}: {', '.join(comparison.beyond)}"


def _measurement(
    engine: Engine, speed: float, comparison: RankingComparison, verdict: str, *, undecided: bool
) -> EngineMeasurement:
    change = comparison.change
    return EngineMeasurement(
        undecided=undecided,
        provider=engine.provider,
        precision=engine.precision,
        tokens_per_second=round(speed, 1),
        loss=change and round(change.mean_loss, 6),
        worst_loss=change and round(change.worst_loss, 6),
        mean_move=change and round(change.mean_move, 6),
        p99_move=change and round(change.p99_move, 6),
        tau=round(mean_tau(comparison.references, comparison.others), 6) if comparison.compared else None,
        queries=comparison.compared,
        verdict=verdict,
    )
