"""The JSON dialects: one file each, found by being here, told apart by the keys of a body.

To add one, add a module with a `DIALECT`; nothing else changes.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from rerank_service.documents import Reader
from rerank_service.errors import RerankError
from rerank_service.ranking import Ranking, RerankRequest

Body = Mapping[str, Any]


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
class Asked:
    """What a body asks."""

    request: RerankRequest
    documents: Sequence[Any]
    """As they were sent."""
    reader: Reader
    """How they are read."""


class Dialect(Protocol):
    """A way to ask for a ranking in JSON and to answer it."""

    @property
    def paths(self) -> Sequence[str]:
        """Where it is spoken; several dialects may share a path."""

    @property
    def schema(self) -> type[BaseModel]:
        """Its request body, for the OpenAPI page."""

    def speaks(self, body: Body) -> bool:
        """Whether a body is of this dialect, by its keys."""

    def decode(self, body: Body) -> Asked:
        """What a body asks. Raises InvalidRequest."""

    def encode(self, ranking: Ranking, exchange: Exchange) -> Any:
        """The answer's body."""

    def encode_error(self, error: RerankError, exchange: Exchange) -> tuple[int, Any]:
        """The status and the body of an error's answer."""


def all_dialects() -> list[Dialect]:
    """Every dialect there is, by the name of its module."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}").DIALECT for name in names]
