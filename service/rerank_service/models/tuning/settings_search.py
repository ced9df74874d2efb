"""Search the batch size, length rounding and lanes of an engine.

Settings are searched one after the other, each with the best values of those before. All combinations would take an
hour, and the settings hardly depend on each other (docs/performance.md).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog

from rerank_service.engine.batch_defaults import exact_multiple
from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.engine_loader import EngineNotLoaded
from rerank_service.models.tuning.forecast import Forecast
from rerank_service.models.tuning.record import MAX_COUNT, BatchSetting
from rerank_service.models.tuning.throughput import Score, measure_in_turn
from rerank_service.models.tuning.tuning_input import TuningInput
from rerank_service.scheduling.cost_model import CostModel

ROUNDS = 3
"""Number of measurements of each setting, of which the median counts."""
MIN_SPEED_SHARE = 0.97
"""Share of the best speed that is good enough. The smallest setting that reaches it is chosen, because small batches
start earlier."""
SETTINGS = "settings"
"""Phase of the forecast."""
_BUDGET_FACTORS = (0.5, 1, 2, 4)
"""Batch sizes to measure, as multiples of the default."""
_LENGTH_MULTIPLES = (1, 4, 8, 16)
_SEARCHED = {"max_batch_tokens", "length_multiple", "lanes"}
"""Fields of BatchSetting that are searched."""

FoundSettings = tuple[BatchSetting, tuple[BatchSetting, ...], CostModel]
"""The best setting, all measured settings, and the cost model of batches with the best one."""

_log = structlog.get_logger()


def search_settings(model: TuningInput, engine: Engine, score: Score, forecast: Forecast) -> FoundSettings:
    """Search the settings of an engine, from its untuned setting on.

    Raises:
        EngineNotLoaded: the engine does not run with the untuned setting, or no longer with the best one.
    """
    best = model.untuned(engine)
    settings: list[BatchSetting] = []
    for field, values in values_to_measure(model, engine):
        forecast.stage(SETTINGS, f"{field.replace('_', ' ')}: {', '.join(map(str, values))}")
        runs = {
            setting: forecast.counted(model.speed_of(engine, score, setting))
            for setting in (best.model_copy(update={field: value}) for value in values)
        }
        measured = _measure(runs, best)
        settings += measured
        good_enough = MIN_SPEED_SHARE * max((setting.tokens_per_second for setting in measured), default=0.0)
        best = next((setting for setting in measured if setting.tokens_per_second >= good_enough), best)
    cost = CostModel()
    for _ in range(ROUNDS):
        forecast.counted(model.speed_of(engine, score, best, cost))()
    return best, tuple(settings), cost


def values_to_measure(model: TuningInput, engine: Engine) -> Iterable[tuple[str, list[int]]]:
    """Yield the fields of BatchSetting with their values, the smallest first."""
    budgets = {min(max(1, int(model.limits_on(engine).max_tokens * factor)), MAX_COUNT) for factor in _BUDGET_FACTORS}
    yield "max_batch_tokens", sorted(budgets)
    yield "length_multiple", sorted({exact_multiple(engine, multiple) for multiple in _LENGTH_MULTIPLES})
    yield "lanes", sorted({1, max(1, model.lanes // 2), model.lanes})


def _measure(runs: Mapping[BatchSetting, Callable[[], float]], best: BatchSetting) -> list[BatchSetting]:
    """Return the settings with their speeds, without those that an engine does not run with.

    Raises:
        EngineNotLoaded: the engine does not run with the best setting so far.
    """
    failed: set[BatchSetting] = set()

    def unless_failed(setting: BatchSetting) -> float:
        if setting in failed:
            return 0.0
        try:
            return runs[setting]()
        except EngineNotLoaded as error:
            if setting == best:
                raise
            _log.warning(
                "batch setting left out",
                engine=str(error.skipped.engine),
                error=error.skipped.reason,
                **setting.model_dump(include=_SEARCHED),
            )
        failed.add(setting)
        return 0.0

    speeds = measure_in_turn({setting: partial(unless_failed, setting) for setting in runs}, ROUNDS)
    return [
        setting.model_copy(update={"tokens_per_second": round(speed, 1)})
        for setting, speed in speeds.items()
        if setting not in failed
    ]
