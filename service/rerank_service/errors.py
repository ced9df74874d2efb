"""What can go wrong, as classes that carry their own answer.

    RerankError
    ├── InvalidRequest       a field is wrong; it is named
    │   ├── TooLarge         a list or a text is over its bound
    │   │   └── BodyTooLarge an HTTP body is
    │   └── UnknownRoute     an HTTP path or method that is not served
    ├── Unauthenticated      no key, or a wrong one
    ├── UnknownModel         no model of that name
    ├── Overloaded           too much is waiting; says when to try again
    ├── NotReady             loading or draining
    ├── DeadlineExceeded     the request's time is over
    ├── InferenceFailed      the model failed on a document
    │   └── OutOfMemory      the document, or the batch, takes more memory than there is
    ├── BundleInvalid        a model folder cannot be served (at start, never on a request)
    ├── SettingsInvalid      a flag or a variable is wrong (likewise)
    ├── FileInvalid          a file given to a command is wrong; names it and the line (never on a request, nor below)
    ├── CalibrationFailed    labels that no calibration can be fitted to
    └── ExtraMissing         a command needs packages that an extra brings

Rule 1: a gRPC code is an attribute of the class; the HTTP status follows from the code.
Rule 2: foreign errors are turned into these where they enter, these into answers where they leave.
"""

from typing import ClassVar

from grpc import StatusCode

from rerank_service.installation import install_command

_HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.NOT_FOUND: 404,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


_EXCERPT = 100


def excerpt(text: str) -> str:
    """The beginning of what a caller sent, short enough for a sentence: statuses travel in headers."""
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


class RerankError(Exception):
    """Something a caller is told about. `str(error)` is the sentence shown."""

    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    reason: str = "internal"
    """A stable word for programs, where the sentence is for people."""
    field: str | None = None
    """The request's field that is at fault, such as `documents[3]`."""

    @property
    def http_status(self) -> int:
        """The HTTP status of the answer."""
        return _HTTP_STATUS[self.code]


class InvalidRequest(RerankError):
    """A field of the request is wrong."""

    code = StatusCode.INVALID_ARGUMENT

    def __init__(self, message: str, *, field: str | None = None, reason: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class TooLarge(InvalidRequest):
    """A list or a text is over its bound."""

    def __init__(self, message: str, *, field: str | None = None, reason: str = "too_large") -> None:
        super().__init__(message, field=field, reason=reason)


class BodyTooLarge(TooLarge):
    """An HTTP body is over its bound."""

    @property
    def http_status(self) -> int:
        """413 by name; gRPC has no code of its own for it."""
        return 413


class UnknownRoute(InvalidRequest):
    """An HTTP path or method that is not served; keeps the status that the router gave it (404 or 405)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, reason="unknown_route")
        self._status = status

    @property
    def http_status(self) -> int:
        """The router's."""
        return self._status


class Unauthenticated(RerankError):
    """The server has keys, and the request carries none of them."""

    code = StatusCode.UNAUTHENTICATED
    reason = "invalid_api_key"


class UnknownModel(RerankError):
    """No model of that name is served."""

    code = StatusCode.NOT_FOUND
    reason = "model_not_found"
    field = "model"


class Overloaded(RerankError):
    """More is waiting than the server takes on."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "overloaded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until another try makes sense."""


class NotReady(RerankError):
    """The server is loading its model or draining."""

    code = StatusCode.UNAVAILABLE
    reason = "not_ready"
    retry_after = 1.0
    """Seconds; by then another replica has taken over, or the model is loaded."""


class DeadlineExceeded(RerankError):
    """The request's deadline passed before it was answered."""

    code = StatusCode.DEADLINE_EXCEEDED
    reason = "deadline_exceeded"


class InferenceFailed(RerankError):
    """The model gave no usable score for a document of this request."""

    code = StatusCode.INTERNAL
    reason = "inference_failed"


class OutOfMemory(InferenceFailed):
    """There is no memory for a batch; for one of a single document there will be none."""

    reason = "out_of_memory"


class BundleInvalid(RerankError):
    """A model folder cannot be served, and why."""

    reason = "bundle_invalid"


class SettingsInvalid(RerankError):
    """A flag or a variable is out of its bounds."""

    reason = "settings_invalid"


class FileInvalid(RerankError):
    """A file given to a command does not hold what it should; the message names it and the line."""

    reason = "file_invalid"


class CalibrationFailed(RerankError):
    """Labels that no calibration can be fitted to, and why."""

    reason = "calibration_failed"


class ExtraMissing(RerankError):
    """A command needs packages that are not installed."""

    reason = "extra_missing"

    def __init__(self, missing: str, extra: str) -> None:
        super().__init__(f"{missing} is not installed. Install the extra {extra}: {install_command(extra)}")
