"""The full tuning of `rerank tune`: the engine, then batch size, length rounding and lanes. Takes minutes."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rerank_service.engine.available import AvailableEngines, SkippedEngine, reasons
from rerank_service.engine.kinds import Engine
from rerank_service.errors import BundleInvalid
from rerank_service.models.tuning.engine_choice import (
    ReferenceLogits,
    TuningOutcome,
    base_name,
    choose_engine,
    measure_beside_base,
)
from rerank_service.models.tuning.engine_loader import EngineLoader, EngineNotLoaded, EngineSet, checked
from rerank_service.models.tuning.forecast import Forecast
from rerank_service.models.tuning.memory_estimate import MemoryCheck
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.record import (
    EngineMeasurement,
    TuningRecord,
    reference_engine,
)
from rerank_service.models.tuning.settings_search import (
    ROUNDS,
    SETTINGS,
    FoundSettings,
    search_settings,
    values_to_measure,
)
from rerank_service.models.tuning.throughput import Score, measure_in_turn
from rerank_service.models.tuning.tuning_input import QUERIES, TuningInput
from rerank_service.models.tuning.undecided import explain_undecided
from rerank_service.progress import STAGE_DETAIL
from rerank_service.quantities import counted

_SPEEDS, _RANKINGS = "speeds", "rankings"
"""Phases of the forecast, which SETTINGS follows."""
_PASSES_PER_QUERY = 2 / QUERIES
"""Passes of a query whose ranking is compared: by two engines."""

ReportProgress = Callable[[str], None]
"""Receives a line about the current measurement."""


def tune_full(
    model: TuningInput,
    available: AvailableEngines,
    report_progress: ReportProgress,
    memory_check: MemoryCheck = lambda _: None,
) -> TuningRecord:
    """Measure the available engines and choose. One engine at a time is loaded beside fp32, if memory allows it.

    Raises:
        BundleInvalid: no engine loads the model, or the base engine fails on a batch.
    """
    base = reference_engine(available.engines)
    forecast = Forecast(report_progress, _planned_passes(model, base, len(available.engines)))
    forecast.stage(_SPEEDS, "loading the engines")
    loader = EngineLoader(model.bundle, model.cache, lanes=model.lanes, memory_check=memory_check, check=model.check)
    engines, failed = _load_base(model, available.engines, loader)
    try:
        outcome = _choose(model, engines, forecast)
    except EngineNotLoaded as error:
        raise _no_engine(model, f"{engines.base}: {error}") from error
    outcome, (best, settings, cost) = _search_or_keep_base(model, engines, outcome, forecast, loader.release)
    chosen = outcome.chosen
    return TuningRecord(
        form="full",
        provider=chosen.provider,
        precision=chosen.precision,
        lanes=best.lanes,
        max_batch_tokens=best.max_batch_tokens,
        length_multiple=best.length_multiple,
        cost=cost.weights,
        trials=outcome.trials,
        settings=settings,
        skipped=reasons((*available.skipped, *failed, *outcome.skipped)),
    )


def _load_base(
    model: TuningInput, engines: tuple[Engine, ...], loader: EngineLoader
) -> tuple[EngineSet, tuple[SkippedEngine, ...]]:
    """Load the base engine. Return it with the others, and the engines that were tried as base and did not load.

    Raises:
        BundleInvalid: no engine loads the model.
    """
    failed: list[SkippedEngine] = []
    while engines:
        base = reference_engine(engines)
        engines = tuple(engine for engine in engines if engine != base)
        try:
            encoder = loader.load(base)
        except EngineNotLoaded as error:
            failed.append(error.skipped)
        else:
            return EngineSet(base, checked(base, encoder.score), engines, loader.score_of), tuple(failed)
    raise _no_engine(model, "; ".join(reasons(failed)))


def _no_engine(model: TuningInput, why: str) -> BundleInvalid:
    return BundleInvalid(f"no engine runs {model.bundle.folder}: {why}")


def _choose(model: TuningInput, engines: EngineSet, forecast: Forecast) -> TuningOutcome:
    """Measure speeds and rankings, and choose an engine.

    Raises:
        EngineNotLoaded: the base engine fails.
    """

    def measure(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        forecast.stage(_SPEEDS, f"speed of {' and '.join(map(str, scores))}")
        passes = {
            engine: forecast.counted(model.speed_of(engine, score, model.untuned(engine)))
            for engine, score in scores.items()
        }
        return measure_in_turn(passes, ROUNDS)

    speeds, skipped = measure_beside_base(engines, measure)
    outcome = TuningOutcome(*_compare_rankings(model, engines, speeds, forecast), skipped)
    return explain_undecided(outcome, engines.base, full=True)


def _compare_rankings(
    model: TuningInput, engines: EngineSet, speeds: dict[Engine, float], forecast: Forecast
) -> tuple[Engine, tuple[EngineMeasurement, ...]]:
    base, total = engines.base, len(model.queries)
    reference = ReferenceLogits(
        engines, [list(query) for query in model.queries], model.limits_on, model.bundle.manifest.pad_id
    )

    def compare(engine: Engine) -> RankingComparison:
        comparison, score = RankingComparison(total), engines.score_of(engine)
        with ThreadPoolExecutor(model.lanes) as pool:
            for start in range(0, total, model.lanes):
                of_total = f"{start} of {counted(total, 'query')}"
                forecast.stage(_RANKINGS, f"ranking of {engine} compared with {base}{STAGE_DETAIL}{of_total}")
                numbers = range(start, min(start + model.lanes, total))
                for logits in pool.map(lambda number: reference.with_other(number, engine, score), numbers):
                    comparison = comparison.with_query(*logits)
                    forecast.passed(_PASSES_PER_QUERY)
                if comparison.passes is False:
                    break
        return comparison

    return choose_engine(speeds, base, compare)


def _search_or_keep_base(
    model: TuningInput, engines: EngineSet, outcome: TuningOutcome, forecast: Forecast, release: Callable[[], None]
) -> tuple[TuningOutcome, FoundSettings]:
    """Search the settings of the chosen engine. If it fails, keep the base engine and search its settings.

    `release` releases the chosen engine.

    Raises:
        BundleInvalid: the base engine fails.
    """
    while True:
        chosen = outcome.chosen
        try:
            return outcome, search_settings(model, chosen, engines.score_of(chosen), forecast)
        except EngineNotLoaded as error:
            failure = error.skipped.reason
        if chosen == engines.base:
            raise _no_engine(model, f"{chosen}: {failure}")
        release()
        outcome = _kept_base(outcome, engines.base, failure)


def _kept_base(outcome: TuningOutcome, base: Engine, failure: str) -> TuningOutcome:
    """Return the outcome with the base engine, because the chosen one failed after the choice."""
    verdict = f"{base_name(base)}; {outcome.chosen} is faster, but failed while its settings were measured"
    failed = outcome.with_verdict(outcome.chosen, f"matches, but {failure}")
    return replace(failed.with_verdict(base, verdict), chosen=base)


def _planned_passes(model: TuningInput, base: Engine, engines: int) -> dict[str, float]:
    """Return the passes of each phase, if one engine is compared with the base, and its ranking matches."""
    others = engines - 1
    return {
        _SPEEDS: ROUNDS * (2 * others or 1),
        _RANKINGS: _PASSES_PER_QUERY * len(model.queries) if others else 0.0,
        SETTINGS: ROUNDS * (1 + sum(len(values) for _, values in values_to_measure(model, base))),
    }
