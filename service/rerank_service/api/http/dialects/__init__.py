"""The JSON dialects: one file each, found by being here, told apart by the keys of a body.

To add one, add a module with a `DIALECT`, or with `LOOK_UPS` for what a client asks by GET; nothing else changes.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rerank_service.api.http.body import JsonBody
from rerank_service.errors import RequestError
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.document import Reader
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

Body = Mapping[str, Any]

RERANK_PATHS = (
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/v1/rerank",
    "/v1/v2/rerank",
    "/v3/rerank",
    "/api/rerank",
    "/inference/v1/rerank",
    "/reranks",
    "/v1/reranks",
    "/compatible-api/v1/reranks",
)
"""Where base URLs lead: which dialect a body on them is of, its keys tell."""
RERANKING_PATHS = ("/v1/reranking", "/reranking")
"""Likewise, of mixedbread's, NVIDIA's and llama.cpp's kin."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an answer may depend on besides its ranking."""

    id: str
    """The request's id."""
    path: str
    body: Body = field(default_factory=dict)
    """What was sent; empty where it was not readable."""
    created: int = 0
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """What a body asks."""

    request: RerankRequest
    documents: Sequence[Any]
    """As they were sent."""
    reader: Reader
    """How they are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    content: Any
    """As JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """A way to ask for a ranking in JSON and to answer it."""

    @property
    def paths(self) -> Sequence[str]:
        """Where it is spoken; several dialects may share a path."""

    @property
    def shown(self) -> Sequence[str]:
        """Those of its paths that the OpenAPI page describes it on; the others are where some base URL leads."""

    @property
    def request(self) -> type[JsonBody]:
        """Its request body."""

    @property
    def response(self) -> Any:
        """The type of its answer's body."""

    @property
    def errors(self) -> Mapping[int, Any]:
        """The type of an error's body, by its status."""

    @property
    def example(self) -> Body:
        """A body that the bundled model answers."""

    def speaks(self, body: Body) -> bool:
        """Whether a body is of this dialect, by its keys."""

    def decode(self, body: Body) -> DecodedRequest:
        """What a body asks. Raises InvalidRequest."""

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The answer."""

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The answer that tells of an error."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a look-up may tell of the server."""

    models: Sequence[ModelInfo]
    """The default first; none while it is loading."""
    find: Callable[[str], ModelInfo]
    """The model of a name or an alias. Raises UnknownModel, NotReady."""
    limits: RequestLimits
    takes_instruction: bool
    """Whether requests may bring one to the default model."""
    keys_asked: bool
    """Whether callers need a key."""
    ready: bool


@dataclass(frozen=True, slots=True)
class LookUp:
    """A GET that some client sends before it ranks, or beside."""

    path: str
    """May end in `{model:path}`."""
    answer: Callable[[ServerFacts, str], Answer]
    """Takes the model that the path names, or "". Raises RequestError."""
    response: Any
    """The type of the answer's body."""
    summary: str
    errors: Mapping[int, Any] = field(default_factory=dict)
    """The type of an error's body, by its status."""
    public: bool = False
    """Answered without a key."""


def all_dialects() -> list[Dialect]:
    """Every dialect there is, by the name of its module."""
    return [module.DIALECT for module in _modules() if hasattr(module, "DIALECT")]


def all_look_ups() -> list[LookUp]:
    """Every look-up there is, likewise."""
    return [look_up for module in _modules() for look_up in getattr(module, "LOOK_UPS", ())]


def _modules() -> list[Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
