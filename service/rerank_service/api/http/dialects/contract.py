"""Contract of a dialect: from a JSON body to a request, and from a ranking or an error to a JSON response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rerank_service.api.http.body import JsonBody
from rerank_service.errors import RequestError
from rerank_service.ranking.document import Reader
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

Body = Mapping[str, Any]
"""A parsed JSON object."""
_DOCUMENT_KEYS = ("documents", "texts", "input", "passages", "sources")
"""Keys of the documents in dialects that share paths. Earlier keys have precedence."""


def documents_key(body: Body) -> str | None:
    """Return the key that has the documents in a body. It selects the dialect.

    Generated clients send null or an empty list for a key that they do not use. So a key with documents has precedence
    over an empty list, and an empty list over null. None: the body has none of the keys.
    """
    keys = [key for key in _DOCUMENT_KEYS if key in body]
    return max(keys, key=lambda key: (bool(body[key]), body[key] is not None), default=None)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The parts of an HTTP request that its response may depend on."""

    id: str
    """The request id."""
    path: str
    """The path of the URL, without repeated or trailing slashes."""
    body: Body = field(default_factory=dict)
    """The body of the request. Empty if it could not be read."""
    created: int = 0
    """Time of the request, in seconds since 1970."""
    warnings: Sequence[str] = ()
    """Fields of the body that are probably misspelled. Dialects with a place for warnings return them in their body."""


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A request as the core takes it."""

    request: RerankRequest
    documents: Sequence[Any]
    """The documents in the form of the body."""
    reader: Reader
    """Reads these documents."""


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """A JSON response."""

    content: Any
    """The body: values that JSON can represent."""
    status: int = 200
    """The HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Additional headers."""


class Dialect(Protocol):
    """The JSON format of a reranking service: paths, types of bodies, and conversion from and to the core's types."""

    @property
    def paths(self) -> Sequence[str]:
        """Paths that accept the dialect. Several dialects may share a path."""

    @property
    def documented_paths(self) -> Sequence[str]:
        """Paths on which the OpenAPI page describes the dialect: those that the service itself has."""

    @property
    def title(self) -> str:
        """Name of the service or the client, for the OpenAPI page."""

    @property
    def tag(self) -> str:
        """Group of the OpenAPI page. A path with several dialects is in the group of the unified one."""

    @property
    def request_type(self) -> type[JsonBody]:
        """Type of a request body."""

    @property
    def response_type(self) -> Any:
        """Type of a successful response's body."""

    @property
    def error_types(self) -> Mapping[int, Any]:
        """Type of an error's body, by HTTP status."""

    @property
    def example(self) -> Body:
        """Example of a body, for the OpenAPI page. The server accepts it."""

    def matches(self, body: Body) -> bool:
        """Return whether a body has the keys of the dialect."""

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body.

        Raises:
            InvalidRequest: a field is missing, invalid or unsupported.
        """

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
