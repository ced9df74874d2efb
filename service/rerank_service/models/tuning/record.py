"""The record of a tuning, as the cache keeps it and `rerank tune` shows it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.scheduling.batching import BatchLimits

MAX_COUNT = 2**20
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Lanes = Annotated[int, Field(ge=1, le=1024)]
"""Number of lanes. The maximum protects the server from a wrong record: each lane is a thread."""


class EngineMeasurement(BaseModel):
    """Speed and ranking of one engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider
    precision: Precision
    tokens_per_second: float
    """Speed of one lane in a short tuning, of all lanes together in a full one."""
    loss: float | None = None
    """Mean relevance loss, from 0 to 1, over `queries` of the parity set; None: not measured, as below."""
    worst_loss: float | None = None
    """Largest relevance loss of one of these queries."""
    mean_move: float | None = None
    """Mean change of the probability of a document, over the ten best documents of these queries."""
    p99_move: float | None = None
    """99th percentile of the same changes."""
    tau: float | None = None
    """Mean Kendall tau-b with fp32, from -1 to 1. It is no criterion."""
    queries: int = 0
    """Number of compared queries."""
    undecided: bool = False
    """True if the time was over before enough queries were compared."""
    verdict: str
    """Why the engine was chosen or not."""

    @property
    def engine(self) -> Engine:
        """The measured engine."""
        return Engine(self.provider, self.precision)


class BatchSetting(BaseModel):
    """Batch size, length rounding and lanes, with the speed that they give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lanes: Lanes
    max_batch_tokens: Count
    length_multiple: Count
    tokens_per_second: float = 0.0
    """Speed of all lanes together; 0: not measured."""

    @classmethod
    def of(cls, limits: BatchLimits, lanes: int) -> "BatchSetting":
        """Return a setting that is not measured yet."""
        return cls(lanes=lanes, max_batch_tokens=limits.max_tokens, length_multiple=limits.length_multiple)


class TuningRecord(BaseModel):
    """The choice of a tuning, and the measurements behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    """short: in the background after a start. full: by `rerank tune`."""
    provider: Provider
    precision: Precision
    lanes: Lanes | None = None
    """None, as below: not measured, or fixed by a setting."""
    max_batch_tokens: Count | None = None
    length_multiple: Count | None = None
    cost: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    """Weights of the cost model."""
    trials: tuple[EngineMeasurement, ...]
    """Measurements of the engines, the fastest first."""
    settings: tuple[BatchSetting, ...] = ()
    """Measurements of batch settings with the chosen engine."""
    skipped: tuple[str, ...] = ()
    """Engines that were not measured, each line with the reason."""
    provisional: bool = False
    """True if some engine is not decided. The next start uses the record, and tunes again."""

    @property
    def engine(self) -> Engine:
        """The chosen engine."""
        return Engine(self.provider, self.precision)

    def reason(self) -> str:
        """Return why this engine was chosen, without the other engines."""
        verdict = next((trial.verdict for trial in self.trials if trial.engine == self.engine), "the only engine")
        return f"{verdict} ({self.form} tuning{', provisional' if self.provisional else ''})"

    def decides(self, engine: Engine) -> bool:
        """Return whether an engine was measured and either chosen or refused."""
        return any(trial.engine == engine and not trial.undecided for trial in self.trials)

    def explanation(self) -> str:
        """Return why this engine was chosen, and why each other one was not."""
        others = [f"{trial.engine}: {trial.verdict}" for trial in self.trials if trial.engine != self.engine]
        return "; ".join((self.reason(), *others, *self.skipped))


def parse_record(value: dict[str, Any] | None) -> TuningRecord | None:
    """Return a record from the cache; None if there is none, or if its format is not that of this version."""
    try:
        return None if value is None else TuningRecord.model_validate(value)
    except ValidationError:
        return None


def reference_engine(engines: tuple[Engine, ...]) -> Engine:
    """Return the base engine of comparisons: the first one with fp32, on a GPU if there is one; else the first one."""
    return next((engine for engine in engines if engine.precision is Precision.FP32), engines[0])
