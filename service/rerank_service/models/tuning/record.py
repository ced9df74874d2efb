"""What was found on this machine, as it is kept and told."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.scheduling.batching import BatchLimits

MOST = 2**20
Count = Annotated[int, Field(ge=1, le=MOST)]
Lanes = Annotated[int, Field(ge=1, le=1024)]
"""Each is a thread: a record that says a million would start that many."""


class Trial(BaseModel):
    """One engine that was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider
    precision: Precision
    tokens_per_second: float
    """Of one lane in the short form, of all in the full one."""
    tau: float | None = None
    """Mean Kendall tau-b with fp32 over `queries` of the parity set; None where it was not measured."""
    queries: int = 0
    undecided: bool = False
    """Whether time was over before its ranking was compared to the end."""
    verdict: str
    """Why it was chosen or not."""

    @property
    def engine(self) -> Engine:
        """What was measured."""
        return Engine(self.provider, self.precision)


class Setting(BaseModel):
    """How batches are formed and run, and how fast that was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lanes: Lanes
    max_batch_tokens: Count
    length_multiple: Count
    tokens_per_second: float = 0.0

    @classmethod
    def of(cls, limits: BatchLimits, lanes: int) -> "Setting":
        """Not measured yet."""
        return cls(lanes=lanes, max_batch_tokens=limits.max_tokens, length_multiple=limits.length_multiple)


class Tuned(BaseModel):
    """What a tuning chose, and from what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    """short or full."""
    provider: Provider
    precision: Precision
    lanes: Lanes | None = None
    max_batch_tokens: Count | None = None
    length_multiple: Count | None = None
    cost: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    """Weights of the cost model."""
    trials: tuple[Trial, ...]
    settings: tuple[Setting, ...] = ()
    """Measured with the engine that was chosen."""
    skipped: tuple[str, ...] = ()

    @property
    def engine(self) -> Engine:
        """What was chosen."""
        return Engine(self.provider, self.precision)

    def reason(self) -> str:
        """Say why this engine was chosen, without the others."""
        verdict = next((trial.verdict for trial in self.trials if trial.engine == self.engine), "the only engine")
        return f"{verdict} ({self.form} tuning)"

    def why(self) -> str:
        """Say why this engine was chosen, and why none of the others."""
        others = [f"{trial.engine}: {trial.verdict}" for trial in self.trials if trial.engine != self.engine]
        return "; ".join((self.reason(), *others, *self.skipped))


def read(value: dict[str, Any] | None) -> Tuned | None:
    """What was kept, if it is of a form that this version knows."""
    try:
        return None if value is None else Tuned.model_validate(value)
    except ValidationError:
        return None


def reference_of(engines: tuple[Engine, ...]) -> Engine:
    """The engine that others are compared with: fp32, on the GPU where there is one; the first where none is fp32,
    since another precision was asked for."""
    return next((engine for engine in engines if engine.precision is Precision.FP32), engines[0])
