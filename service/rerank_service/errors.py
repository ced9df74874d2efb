"""The errors that several packages use, in two trees.

    RequestError             a request cannot be answered
    ├── InvalidRequest       a field is wrong; the error names it
    │   ├── TooLarge         a list or a text exceeds its bound
    │   │   └── BodyTooLarge an HTTP body exceeds its bound
    │   ├── HeadersTooLarge  the headers of an HTTP request exceed their bound
    │   ├── BodyTooSlow      an HTTP body arrives too slowly
    │   ├── UnsupportedCoding the HTTP body is compressed in a way that the server does not support
    │   ├── UnknownRoute     the HTTP path or method is not served
    │   └── MalformedHttp    the bytes are no valid HTTP request
    ├── Unauthenticated      the API key is missing, wrong or expired
    ├── ModelNotAllowed      the API key may not use this model
    ├── UnknownModel         no model has this name
    ├── Overloaded           other requests use the capacity; carries the seconds until a retry
    ├── RateLimited          the API key is over its limits; carries the seconds until a retry
    ├── NotReady             the server or the model is loading or draining
    ├── DeadlineExceeded     the request would miss its deadline
    │   └── DeadlinePassed   the deadline passed before the request was finished
    └── InferenceFailed      the model returned no usable score
        └── OutOfMemory      a batch needs more memory than there is

    OperatorError            a command or a start-up fails; never the response to a request
    ├── SettingsInvalid      a flag or an environment variable is wrong
    │   └── FileUnreadable   the system could not read the file of a setting; a later try can succeed
    ├── BundleInvalid        a model folder cannot be served
    ├── WeightsChanged       a file of a served model was written in place
    ├── MemoryTooSmall       a model exceeds the memory limit of the process
    ├── FileInvalid          a file given to a command is wrong; the error names the file and the line
    ├── OutputNotWritten     a file of results cannot be written, such as on a full disk
    ├── CalibrationFailed    no calibration can be fitted to the labels
    └── ExtraMissing         a command needs packages of an extra

Rule 1: the gRPC code of a request error is an attribute of its class. The HTTP status follows from the code, except for
errors that only HTTP has: their class has the status.
Rule 2: errors that only one package raises are in that package, such as those of Admin and of loads of models in
lifecycle/model_control_errors.py.
Rule 3: errors of libraries are translated where the library is called. The two APIs make responses of request errors.
"""

from typing import ClassVar

from grpc import StatusCode

from rerank_service.installation import install_command

_HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ABORTED: 409,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.FAILED_PRECONDITION: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}


class RequestError(Exception):
    """A request cannot be answered. `str(error)` is the message for the caller."""

    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    kind: ClassVar[str] = "internal"
    """Kind of the error in the metrics. There are few kinds, so that there are few series."""
    reason: str = "internal"
    """Stable identifier for programs; the message is for people."""
    field: str | None = None
    """Field of the request that is wrong, such as `documents[3]`. None: no single field."""
    retry_after: float | None = None
    """Seconds until the client should retry. None: a retry does not help."""

    @property
    def http_status(self) -> int:
        """HTTP status of the response."""
        return _HTTP_STATUS[self.code]


class InvalidRequest(RequestError):
    """A field of the request is wrong."""

    code = StatusCode.INVALID_ARGUMENT
    kind = "invalid_request"

    def __init__(self, message: str, *, field: str | None = None, reason: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class TooLarge(InvalidRequest):
    """A list or a text exceeds its bound."""

    kind = "too_large"

    def __init__(self, message: str, *, field: str | None = None, reason: str = "too_large") -> None:
        super().__init__(message, field=field, reason=reason)


class BodyTooLarge(TooLarge):
    """An HTTP body exceeds its bound."""

    http_status = 413  # gRPC has no code of its own for this error


class HeadersTooLarge(InvalidRequest):
    """The headers of an HTTP request exceed their bound."""

    kind = "too_large"

    http_status = 431  # gRPC limits its metadata itself


class BodyTooSlow(InvalidRequest):
    """An HTTP body arrives too slowly."""

    http_status = 408  # gRPC has no code of its own for this error


class UnsupportedCoding(InvalidRequest):
    """The server cannot decompress an HTTP body."""

    def __init__(self, message: str, *, field: str, accepted: str) -> None:
        super().__init__(message, field=field, reason="unsupported_content_encoding")
        self.accepted = accepted
        """The supported codings, as the value of the header `Accept-Encoding`."""

    @property
    def http_status(self) -> int:
        """HTTP status 415; gRPC has no code of its own for this error."""
        return 415


class UnknownRoute(InvalidRequest):
    """The HTTP path or method is not served."""

    kind = "unknown_route"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, reason="unknown_route")
        self._status = status

    @property
    def http_status(self) -> int:
        """HTTP status of the router: 404 or 405."""
        return self._status


class MalformedHttp(InvalidRequest):
    """The bytes of a connection are no valid HTTP request."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, reason="malformed_http")
        self._status = status

    @property
    def http_status(self) -> int:
        """HTTP status of the fault: 400, or 431 if the header is too large."""
        return self._status


class Unauthenticated(RequestError):
    """The server requires an API key, and the request has none, a wrong one or an expired one."""

    code = StatusCode.UNAUTHENTICATED
    kind = "invalid_api_key"

    def __init__(self, message: str, *, reason: str = "invalid_api_key") -> None:
        super().__init__(message)
        self.reason = reason


class ModelNotAllowed(RequestError):
    """The API key may not use this model."""

    code = StatusCode.PERMISSION_DENIED
    kind = reason = "model_not_allowed"
    field = "model"


class UnknownModel(RequestError):
    """No model of this name is served."""

    code = StatusCode.NOT_FOUND
    kind = reason = "model_not_found"
    field = "model"


class Overloaded(RequestError):
    """Other requests use the capacity of the server."""

    code = StatusCode.RESOURCE_EXHAUSTED
    kind = reason = "overloaded"

    retry_after: float

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(RequestError):
    """The API key is over one of its limits."""

    code = StatusCode.RESOURCE_EXHAUSTED
    kind = reason = "rate_limited"

    retry_after: float

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(RequestError):
    """The server is loading its model or draining."""

    code = StatusCode.UNAVAILABLE
    kind = reason = "not_ready"
    retry_after: float = 1.0
    """Seconds until the client should retry: by then the model is loaded, or another replica serves."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(RequestError):
    """The request would miss its deadline, so it is rejected."""

    code = StatusCode.DEADLINE_EXCEEDED
    kind = reason = "deadline_exceeded"


class DeadlinePassed(DeadlineExceeded):
    """The deadline passed before the request was finished."""

    kind = "deadline_passed"


class InferenceFailed(RequestError):
    """The model returned no usable score for a document of this request."""

    code = StatusCode.INTERNAL
    kind = reason = "inference_failed"


class OutOfMemory(InferenceFailed):
    """There is no memory for a batch. A request ends with it only after its pair was tried alone."""

    kind = reason = "out_of_memory"


class OperatorError(Exception):
    """A command or a start-up fails. `str(error)` is one line for the operator: the fault and the remedy."""


class SettingsInvalid(OperatorError):
    """A flag or an environment variable is wrong."""


class FileUnreadable(SettingsInvalid):
    """The system could not read the file of a setting. The cause may pass, so a later try can succeed."""


class BundleInvalid(OperatorError):
    """A model folder cannot be served."""


class WeightsChanged(OperatorError):
    """A file of a served model was written in place. Its scores would be wrong, so the process ends."""


class MemoryTooSmall(OperatorError):
    """The weights of a model exceed the memory limit. The kernel would kill the process while it loads them."""


class FileInvalid(OperatorError):
    """A file given to a command has invalid content. The message names the file and the line."""


class OutputNotWritten(OperatorError):
    """A file of results cannot be written, such as on a full disk. The message names the file."""


class CalibrationFailed(OperatorError):
    """No calibration can be fitted to the labels."""


class ExtraMissing(OperatorError):
    """A command needs packages that are not installed."""

    def __init__(self, missing: str, extra: str) -> None:
        """`missing` is a package, `extra` the extra that installs it."""
        super().__init__(f"{missing} is not installed. Install the extra {extra}: {install_command(extra)}")
