"""The full tuning of `rerank tune`: the engine, then batch size, length rounding and lanes. Takes minutes.

Settings are searched one after the other, each with the best values of those before. All combinations would take an
hour, and the settings hardly depend on each other (docs/performance.md).
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import AvailableEngines, SkippedEngine, reasons
from rerank_service.engine.batch_defaults import exact_multiple
from rerank_service.engine.kinds import Engine
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.engine_choice import (
    LimitsOn,
    ReferenceLogits,
    TuningOutcome,
    choose_engine,
    measure_beside_base,
)
from rerank_service.models.tuning.engine_loader import EngineLoader, EngineNotLoaded, EngineSet
from rerank_service.models.tuning.forecast import Forecast
from rerank_service.models.tuning.memory_estimate import MemoryCheck
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.record import (
    MAX_COUNT,
    BatchSetting,
    EngineMeasurement,
    TuningRecord,
    reference_engine,
)
from rerank_service.models.tuning.throughput import Score, measure_in_turn, throughput
from rerank_service.models.tuning.undecided import explain_undecided
from rerank_service.models.variants.cache import Cache
from rerank_service.progress import STAGE_DETAIL
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.scheduling.cost_model import CostModel

ROUNDS = 3
QUERIES = 8
"""Number of queries of the parity set for measurements of speed. Rankings are compared on all queries."""
MIN_SPEED_SHARE = 0.97
"""Share of the best speed that is good enough. The smallest setting that reaches it is chosen, because small batches
start earlier."""
_BUDGET_FACTORS = (0.5, 1, 2, 4)
"""Batch sizes to measure, as multiples of the default."""
_LENGTH_MULTIPLES = (1, 4, 8, 16)

_SPEEDS, _RANKINGS, _SETTINGS = "speeds", "rankings", "settings"
"""Phases of the forecast."""
_PASSES_PER_QUERY = 2 / QUERIES
"""Passes of a query whose ranking is compared: by two engines."""

ReportProgress = Callable[[str], None]
"""Receives a line about the current measurement."""


@dataclass(frozen=True, slots=True)
class TuningInput:
    """The model to tune, and the defaults that the tuning starts from."""

    bundle: Bundle
    cache: Cache
    lanes: int
    """Maximum number of lanes."""
    limits_on: LimitsOn
    """Batch limits of an engine without a tuning."""
    queries: tuple[tuple[EncodedPair, ...], ...]
    """The pairs of each query of the parity set."""

    @classmethod
    def read(cls, bundle: Bundle, cache: Cache, limits_on: LimitsOn, *, lanes: int) -> "TuningInput":
        """Encode the parity set for a bundle.

        Raises:
            BundleInvalid: no query fits the model's token limit.
        """
        manifest = bundle.manifest
        tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
        queries = tuple(tuple(query) for query in parity_set.encoded(tokenizer))
        return cls(bundle, cache, lanes, limits_on, queries)

    def untuned(self, engine: Engine) -> BatchSetting:
        """Return the setting of an engine without a tuning, with all lanes."""
        return BatchSetting.of(self.limits_on(engine), self.lanes)

    @property
    def speed_pairs(self) -> list[EncodedPair]:
        """The pairs with which speed is measured."""
        return [pair for query in self.queries[:QUERIES] for pair in query]


def tune_full(
    model: TuningInput,
    available: AvailableEngines,
    report_progress: ReportProgress,
    memory_check: MemoryCheck = lambda _: None,
) -> TuningRecord:
    """Measure the available engines and choose. One engine at a time is loaded beside fp32, if memory allows it.

    Raises:
        BundleInvalid: no engine loads the model.
    """
    base = reference_engine(available.engines)
    forecast = Forecast(report_progress, _planned_passes(model, base, len(available.engines)))
    forecast.stage(_SPEEDS, "loading the engines")
    loader = EngineLoader(model.bundle, model.cache, lanes=model.lanes, memory_check=memory_check)
    engines, failed = _load_base(model, available.engines, loader)
    outcome = _choose(model, engines, forecast)
    chosen = outcome.chosen
    score = engines.base_score if chosen == engines.base else loader.score_of(chosen)
    best, settings, cost = _search_settings(model, chosen, score, forecast)
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
            return EngineSet(base, encoder.score, engines, loader.score_of), tuple(failed)
    raise BundleInvalid(f"no engine runs {model.bundle.folder}: {'; '.join(reasons(failed))}")


def _choose(model: TuningInput, engines: EngineSet, forecast: Forecast) -> TuningOutcome:
    def measure(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        forecast.stage(_SPEEDS, f"speed of {' and '.join(map(str, scores))}")
        passes = {
            engine: forecast.counted(_speed(model, engine, score, model.untuned(engine)))
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


def _search_settings(
    model: TuningInput, engine: Engine, score: Score, forecast: Forecast
) -> tuple[BatchSetting, tuple[BatchSetting, ...], CostModel]:
    """Return the best setting, all measured settings, and the cost model of batches with the best one."""
    best = model.untuned(engine)
    settings: list[BatchSetting] = []
    for field, values in _values_to_measure(model, engine):
        forecast.stage(_SETTINGS, f"{field.replace('_', ' ')}: {', '.join(map(str, values))}")
        measured = _measure(
            model, engine, score, [best.model_copy(update={field: value}) for value in values], forecast
        )
        settings += measured
        good_enough = MIN_SPEED_SHARE * max(setting.tokens_per_second for setting in measured)
        best = next(setting for setting in measured if setting.tokens_per_second >= good_enough)
    cost = CostModel()
    for _ in range(ROUNDS):
        forecast.counted(_speed(model, engine, score, best, cost))()
    return best, tuple(settings), cost


def _planned_passes(model: TuningInput, base: Engine, engines: int) -> dict[str, float]:
    """Return the passes of each phase, if one engine is compared with the base, and its ranking matches."""
    others = engines - 1
    return {
        _SPEEDS: ROUNDS * (2 * others or 1),
        _RANKINGS: _PASSES_PER_QUERY * len(model.queries) if others else 0.0,
        _SETTINGS: ROUNDS * (1 + sum(len(values) for _, values in _values_to_measure(model, base))),
    }


def _values_to_measure(model: TuningInput, engine: Engine) -> Iterable[tuple[str, list[int]]]:
    """Yield the fields of BatchSetting with their values, the smallest first."""
    budgets = {min(max(1, int(model.limits_on(engine).max_tokens * factor)), MAX_COUNT) for factor in _BUDGET_FACTORS}
    yield "max_batch_tokens", sorted(budgets)
    yield "length_multiple", sorted({exact_multiple(engine, multiple) for multiple in _LENGTH_MULTIPLES})
    yield "lanes", sorted({1, max(1, model.lanes // 2), model.lanes})


def _measure(
    model: TuningInput, engine: Engine, score: Score, settings: list[BatchSetting], forecast: Forecast
) -> list[BatchSetting]:
    passes = {setting: forecast.counted(_speed(model, engine, score, setting)) for setting in settings}
    speeds = measure_in_turn(passes, ROUNDS)
    return [setting.model_copy(update={"tokens_per_second": round(speed, 1)}) for setting, speed in speeds.items()]


def _speed(
    model: TuningInput, engine: Engine, score: Score, setting: BatchSetting, cost: CostModel | None = None
) -> Callable[[], float]:
    limits = replace(
        model.limits_on(engine), max_tokens=setting.max_batch_tokens, length_multiple=setting.length_multiple
    )
    pad_id = model.bundle.manifest.pad_id
    return lambda: throughput(score, model.speed_pairs, limits, pad_id=pad_id, lanes=setting.lanes, cost=cost)
