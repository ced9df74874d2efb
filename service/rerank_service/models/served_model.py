"""A served model, its names, and the facts about it that callers can read."""

import secrets
from dataclasses import dataclass, field
from functools import partial

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.kinds import Engine
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import NOT_VERIFIED, Bundle
from rerank_service.models.model_state import ModelState
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.results import ModelVersion
from rerank_service.ranking.scores import Activation
from rerank_service.scheduling.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a model at the server."""

    name: str | None = None
    """None: the name in the manifest."""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts about a model of the server, as `GetModel`, `/v1/models` and the log report them.

    A model that was never loaded has no provider and no precision, and its numbers of batches are 0."""

    name: str
    aliases: tuple[str, ...] = ()
    source: str = ""
    """Hub id, or name of the folder, that the model was exported from."""
    revision: str = ""
    """Commit of the hub repository; empty where there is none."""
    digest: str = ""
    """sha256 over everything that scores depend on; empty for a hub folder."""
    precision: str = ""
    """Precision of the engine, such as int8."""
    provider: str = ""
    """Provider of the engine by its name in ONNX Runtime, such as CPUExecutionProvider."""
    explanation: str = ""
    """Why this engine was chosen, and why each other one was not. `choice` in the APIs."""
    reason: str = ""
    """The first part of `explanation`, short enough for a log line."""
    max_tokens: int = 0
    """Maximum tokens of a pair, special tokens included."""
    max_batch_tokens: int = 0
    """Maximum padded tokens of a batch."""
    lanes: int = 0
    """Number of batches that run at once."""
    takes_instruction: bool | None = None
    """True if a request may replace the instruction. None: not known."""
    calibration: str = ""
    """Method of the calibration and meaning of its scores; empty without a calibration."""
    verdict: str = NOT_VERIFIED
    """Result of the comparison with the source model at export."""
    state: ModelState = ModelState.READY
    ready: bool = True
    """True if the model accepts requests. An unloaded model does so if its first request loads it."""
    memory_bytes: int | None = None
    """Measured memory of the model, in bytes. None: not loaded, or not measured."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases of the model."""
        return (self.name, *self.aliases)

    @property
    def version(self) -> ModelVersion:
        """The bundle and the engine, on which the scores depend."""
        return ModelVersion(digest=self.digest, provider=self.provider, precision=self.precision)


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class ServedModel:
    """A loaded model with everything that scoring needs."""

    info: ModelInfo
    bundle: Bundle
    tokenizer: PairTokenizer
    encoder: CrossEncoder
    scheduler: Scheduler
    activation: Activation
    calibration: Calibration | None = None
    refused: Engine | None = None
    """The engine that a tuning chose, if the model could not be loaded on it."""
    identity: bytes = field(default_factory=partial(secrets.token_bytes, 32), repr=False)
    """A random secret of this load, which is part of the key of each pair.

    A digest would not do: a hub folder has none, and the same bundle on another provider rounds differently."""
