"""Look-ups: GET requests that clients send before they rank, such as the list of models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_service.api.http.dialects.contract import JsonResponse
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.limits import RequestLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """State and limits of the server, for the responses of look-ups and for the OpenAPI page."""

    models: Sequence[ModelInfo]
    """The models of the server, loaded or not; the default model is first."""
    find: Callable[[str], ModelInfo]
    """Returns the model with a name or an alias. Raises UnknownModel or NotReady."""
    limits: RequestLimits
    """Limits of one request."""
    takes_instruction: bool
    """True if requests may replace the instruction of the default model."""
    key_required: bool
    """True if requests must have an API key."""
    ready: bool
    """True if the server accepts requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """A GET request: its path and its response."""

    path: str
    """May have the parameter PATH_MODEL of paths.py."""
    respond: Callable[[ServerFacts, str], JsonResponse]
    """Takes the model name in the path, or "". Raises RequestError."""
    response_type: Any
    """Type of a successful response's body. None: the response is 204, without a body."""
    summary: str
    """Summary on the OpenAPI page."""
    error_types: Mapping[int, Any] = field(default_factory=dict)
    """Type of an error's body, by HTTP status, where it is not `ErrorBody`."""
    public: bool = False
    """True if no API key is required."""
    is_health_check: bool = False
    """True for a health check. It is neither logged nor counted: it would hide the requests of callers."""
