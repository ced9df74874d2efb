"""The models served: loading them, finding them by name."""

import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.batch_defaults import default_lanes
from rerank_service.engine.kinds import CPU_FP32, Engine
from rerank_service.engine.runtime import Graph
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid, NotReady, UnknownModel, excerpt
from rerank_service.models.bundle import NOT_VERIFIED, Bundle
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.ranking import Activation
from rerank_service.scheduling.batching import BatchLimits, collate
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.score_cache import ScoreCache

DEFAULT_NAMES = ("", "default")
"""These always mean the first model served."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is said of a model to those who ask."""

    name: str
    aliases: tuple[str, ...]
    source: str
    revision: str
    digest: str
    precision: str
    provider: str
    choice: str
    """Why this provider and this precision."""
    max_tokens: int
    """Of a pair."""
    max_batch_tokens: int
    calibration: str = ""
    """By what method, and what scores say by it; empty without."""
    verdict: str = NOT_VERIFIED
    """What the exporter's report says of its scores."""
    reason: str = ""
    """The first part of `choice`, short enough for a log line."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ServedModel:
    """A model with all that it takes to score with it."""

    info: ModelInfo
    bundle: Bundle
    tokenizer: PairTokenizer
    encoder: CrossEncoder
    scheduler: Scheduler
    activation: Activation
    calibration: Calibration | None = None
    identity: bytes = field(default_factory=partial(secrets.token_bytes, 32), repr=False)
    """A secret of this very load. Digests would not do: a plain folder has none, and the same bundle on another
    provider rounds differently."""


class Registry:
    """Models by name and alias; the first one added is the default."""

    def __init__(self, *, any_model: bool = False, defaults: Collection[str] = ()) -> None:
        """With `any_model` every name means the default; else the `defaults` do, where no model has the name itself."""
        self._any_model = any_model
        self._defaults = frozenset((*DEFAULT_NAMES, *defaults))
        self._models: dict[str, ServedModel] = {}

    def add(self, model: ServedModel) -> None:
        """Serve a model from now on."""
        for name in (model.info.name, *model.info.aliases):
            self._models[name] = model

    def get(self, name: str) -> ServedModel:
        """The model that a request names.

        Raises:
            NotReady: none is loaded yet.
            UnknownModel: there is none of that name; the message lists those there are.
        """
        if not self._models:
            raise NotReady("the model is loading")
        if name in self._models:
            return self._models[name]
        if self._any_model or name in self._defaults:
            return self.models()[0]
        raise UnknownModel(f"model {excerpt(name)!r} is not served here; served: {', '.join(self._models)}")

    def models(self) -> list[ServedModel]:
        """Each model once, the default first."""
        return list({id(model): model for model in self._models.values()}.values())


@dataclass(frozen=True, slots=True)
class Names:
    """What a model is called where it is served."""

    name: str | None = None
    """None: what its manifest says."""
    aliases: tuple[str, ...] = ()


def load(
    bundle: Bundle,
    *,
    limits: BatchLimits,
    engine: Engine = CPU_FP32,
    graph: Graph | None = None,
    lanes: int | None = None,
    names: Names | None = None,
    choice: str = "",
    reason: str = "",
    cost: CostModel | None = None,
    scores: ScoreCache | None = None,
) -> ServedModel:
    """Load a bundle and warm it up. Blocks for as long as that takes.

    `graph` is what the engine runs, where that is not the bundle's own. Without `lanes` there is one a core of this
    process's quota, and two on a GPU. `choice` says why this engine, `reason` the same in short;
    `cost` is what is known of its speed.
    With `scores` its requests share what they have in common.

    Raises:
        BundleInvalid: it cannot be served.
    """
    manifest, names = bundle.manifest, names or Names()
    limits = replace(limits, max_length=manifest.max_tokens)
    lanes = lanes or default_lanes(engine)
    encoder = CrossEncoder(graph or bundle.graph, engine, lanes=lanes, difference=manifest.difference)
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    cost = cost or CostModel()
    _warm_up(encoder, tokenizer, cost, pad_id=manifest.pad_id, limits=limits)
    scheduler = Scheduler(encoder.score, limits, pad_id=manifest.pad_id, lanes=lanes, cost=cost, scores=scores)
    info = ModelInfo(
        names.name or manifest.name,
        names.aliases,
        manifest.source,
        manifest.revision,
        bundle.digest,
        engine.precision.value,
        encoder.provider,
        choice,
        manifest.max_tokens,
        limits.max_tokens,
        str(manifest.calibration or ""),
        bundle.verdict,
        reason or choice,
    )
    return ServedModel(info, bundle, tokenizer, encoder, scheduler, manifest.activation, manifest.calibration)


_WARM_UP_TOKENS = 512
"""A row of the whole window shows that its last position exists; of a longer window that would take seconds."""


def _warm_up(
    encoder: CrossEncoder, tokenizer: PairTokenizer, cost: CostModel, *, pad_id: int, limits: BatchLimits
) -> None:
    """A few forward passes, so that a model that cannot run fails here, the first request finds warm caches, and what
    a batch costs is known.

    Raises:
        BundleInvalid: the model does not run, or gives no finite logit.
    """
    query = tokenizer.encode_query("warm up")
    longest = min(tokenizer.max_tokens, _WARM_UP_TOKENS)
    for words, rows in ((1, 4), (1, 4), (10, 4), (50, 4), (longest, 1)):
        pairs = tokenizer.encode_documents(query, [" document" * words] * rows)
        batch = collate(pairs, pad_id=pad_id, limits=limits)
        started = time.perf_counter()
        try:
            logits = encoder.score(batch)
        except BundleInvalid:
            raise
        except Exception as error:
            raise BundleInvalid(f"the model does not run: {error}") from error
        if words > 1:  # the first runs are slower than any later one
            cost.observe(batch.rows, batch.length, time.perf_counter() - started)
        if not np.isfinite(logits).all():
            raise BundleInvalid(f"the model gives logits that are not finite: {logits.tolist()}")
