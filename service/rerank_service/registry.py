"""The models served: loading them, finding them by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rerank_service.batching import Batch, BatchLimits, EncodedPair, collate
from rerank_service.bundle import Bundle
from rerank_service.errors import BundleInvalid, NotReady, UnknownModel
from rerank_service.host import usable_cores
from rerank_service.provider import ORT_NAME, Provider
from rerank_service.ranking import Activation
from rerank_service.scheduler import Scheduler
from rerank_service.session import CrossEncoder
from rerank_service.tokenizer import PairTokenizer

DEFAULT_NAMES = ("", "default")
"""These always mean the first model served."""

Observe = Callable[[Sequence[EncodedPair], Batch, float], None]


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
    max_tokens: int


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with all that it takes to score with it."""

    info: ModelInfo
    tokenizer: PairTokenizer
    scheduler: Scheduler
    activation: Activation


class Registry:
    """Models by name and alias; the first one added is the default."""

    def __init__(self, *, any_model: bool = False) -> None:
        """With `any_model` every name means the default."""
        self._any_model = any_model
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
        if self._any_model or name in DEFAULT_NAMES:
            return self.models()[0]
        raise UnknownModel(f"model {name!r} is not served here; served: {', '.join(self._models)}")

    def models(self) -> list[ServedModel]:
        """Each model once, the default first."""
        return list({id(model): model for model in self._models.values()}.values())


def load(
    bundle: Bundle,
    *,
    limits: BatchLimits,
    provider: Provider,
    lanes: int | None = None,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    observe: Observe | None = None,
) -> ServedModel:
    """Load a bundle and warm it up. Blocks for as long as that takes.

    Without `lanes` there is one a core of this process's quota, and one on a GPU.

    Raises:
        BundleInvalid: it cannot be served.
    """
    manifest = bundle.manifest
    session = CrossEncoder(bundle, provider)
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens)
    _warm_up(session, tokenizer, pad_id=manifest.pad_id, limits=limits)
    lanes = lanes or (usable_cores() if session.provider == ORT_NAME[Provider.CPU] else 1)
    scheduler = Scheduler(session.score, limits, pad_id=manifest.pad_id, lanes=lanes, observe=observe)
    info = ModelInfo(
        name or manifest.name,
        aliases,
        manifest.source,
        manifest.revision,
        bundle.digest,
        session.precision,
        session.provider,
        manifest.max_tokens,
    )
    return ServedModel(info, tokenizer, scheduler, manifest.activation)


def _warm_up(session: CrossEncoder, tokenizer: PairTokenizer, *, pad_id: int, limits: BatchLimits) -> None:
    """One forward pass, so that a model that cannot run fails here and the first request finds warm caches.

    Raises:
        BundleInvalid: the model does not run, or gives no finite logit.
    """
    query = tokenizer.encode_query("warm up")
    pairs = tokenizer.encode_documents(query, ["a document", "another one"])
    try:
        logits = session.score(collate(pairs, pad_id=pad_id, limits=limits))
    except Exception as error:
        raise BundleInvalid(f"the model does not run: {error}") from error
    if not np.isfinite(logits).all():
        raise BundleInvalid(f"the model gives logits that are not finite: {logits.tolist()}")
