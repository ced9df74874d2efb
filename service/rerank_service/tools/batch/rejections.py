"""The part of a request because of which a server rejects it."""

from enum import Enum, auto

from rerank.errors import InvalidArgument
from rerank_service.tools.http_responses import INVALID_BODY
from rerank_service.tools.rest_failure import RestCallFailed
from rerank_service.tools.server_calls import Failure, failure


class Wrong(Enum):
    """The part of a request because of which it failed."""

    DOCUMENTS = auto()
    """One of the documents, or their number."""
    QUERY = auto()
    UNKNOWN = auto()
    """The server does not name the field."""
    OTHER = auto()
    """An option, the server or the API key: all requests fail."""


def what_is_wrong(error: Exception) -> Wrong:
    """Return which part of a request is wrong, by an error of CALL_ERRORS."""
    kind = failure(error)
    if kind is not Failure.REQUEST:
        return Wrong.DOCUMENTS if kind is Failure.TIMEOUT else Wrong.OTHER
    if isinstance(error, InvalidArgument):
        return _of_field(error.field)
    is_invalid = isinstance(error, RestCallFailed) and error.status in INVALID_BODY
    return Wrong.UNKNOWN if is_invalid else Wrong.DOCUMENTS  # the request is too large, or the model fails on it


def _of_field(name: str | None) -> Wrong:
    if not name:
        return Wrong.UNKNOWN
    if name.startswith("documents"):
        return Wrong.DOCUMENTS
    return Wrong.QUERY if name == "query" else Wrong.OTHER
