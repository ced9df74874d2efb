"""Every error of the server, in two trees.

    RequestError             a caller's request cannot be answered
    ├── InvalidRequest       a field is wrong; the error names it
    │   ├── TooLarge         a list or a text exceeds its bound
    │   │   └── BodyTooLarge an HTTP body exceeds its bound
    │   └── UnknownRoute     the HTTP path or method is not served
    ├── Unauthenticated      the API key is missing or wrong
    ├── UnknownModel         no model has this name
    ├── Overloaded           too much is waiting; says when to retry
    ├── NotReady             the server is loading or draining
    ├── DeadlineExceeded     the deadline passed, or will pass
    └── InferenceFailed      the model failed on a document
        └── OutOfMemory      a document, or a batch, needs more memory than there is

    OperatorError            a command or a start cannot go on; never the answer to a request
    ├── SettingsInvalid      a flag or a variable is wrong
    ├── BundleInvalid        a model folder cannot be served
    ├── FileInvalid          a file given to a command is wrong; the error names the file and the line
    ├── CalibrationFailed    no calibration can be fitted to the labels
    └── ExtraMissing         a command needs packages of an extra

Rule 1: a request error's gRPC code is an attribute of its class; the HTTP status follows from the code.
Rule 2: errors of libraries become ours where they enter, ours become answers where they leave.
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
    """Return the beginning of a caller's text, short enough for a message: gRPC statuses travel in headers."""
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


class RequestError(Exception):
    """A request cannot be answered. `str(error)` is the message for the caller."""

    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    reason: str = "internal"
    """A stable identifier for programs; the message is for people."""
    field: str | None = None
    """The field of the request that is wrong, such as `documents[3]`."""

    @property
    def http_status(self) -> int:
        """Return the HTTP status of the answer."""
        return _HTTP_STATUS[self.code]


class InvalidRequest(RequestError):
    """A field of the request is wrong."""

    code = StatusCode.INVALID_ARGUMENT

    def __init__(self, message: str, *, field: str | None = None, reason: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class TooLarge(InvalidRequest):
    """A list or a text exceeds its bound."""

    def __init__(self, message: str, *, field: str | None = None, reason: str = "too_large") -> None:
        super().__init__(message, field=field, reason=reason)


class BodyTooLarge(TooLarge):
    """An HTTP body exceeds its bound."""

    @property
    def http_status(self) -> int:
        """Return 413; gRPC has no code of its own for this error."""
        return 413


class UnknownRoute(InvalidRequest):
    """The HTTP path or method is not served; keeps the router's status (404 or 405)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, reason="unknown_route")
        self._status = status

    @property
    def http_status(self) -> int:
        """Return the router's status."""
        return self._status


class Unauthenticated(RequestError):
    """The server requires an API key, and the request has none or a wrong one."""

    code = StatusCode.UNAUTHENTICATED
    reason = "invalid_api_key"


class UnknownModel(RequestError):
    """No model of this name is served."""

    code = StatusCode.NOT_FOUND
    reason = "model_not_found"
    field = "model"


class Overloaded(RequestError):
    """More is waiting than the server accepts."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "overloaded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds until a retry makes sense."""


class NotReady(RequestError):
    """The server is loading its model or draining."""

    code = StatusCode.UNAVAILABLE
    reason = "not_ready"
    retry_after = 1.0
    """Seconds until a retry makes sense: by then another replica has taken over, or the model is loaded."""


class DeadlineExceeded(RequestError):
    """The deadline passed before the request was answered, or certainly will."""

    code = StatusCode.DEADLINE_EXCEEDED
    reason = "deadline_exceeded"


class InferenceFailed(RequestError):
    """The model returned no usable score for a document of this request."""

    code = StatusCode.INTERNAL
    reason = "inference_failed"


class OutOfMemory(InferenceFailed):
    """There is no memory for a batch. For a batch of a single document, a retry does not help."""

    reason = "out_of_memory"


class OperatorError(Exception):
    """A command or a start cannot go on. `str(error)` is one line for the operator: what is wrong and what to do."""


class SettingsInvalid(OperatorError):
    """A flag or a variable is wrong."""


class BundleInvalid(OperatorError):
    """A model folder cannot be served."""


class FileInvalid(OperatorError):
    """A file given to a command has the wrong content; the message names the file and the line."""


class CalibrationFailed(OperatorError):
    """No calibration can be fitted to the labels."""


class ExtraMissing(OperatorError):
    """A command needs packages that are not installed."""

    def __init__(self, missing: str, extra: str) -> None:
        super().__init__(f"{missing} is not installed. Install the extra {extra}: {install_command(extra)}")
