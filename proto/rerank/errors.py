"""Errors of calls that RerankClient, AsyncRerankClient and AdminClient raise.

    RerankError              a call failed; `status` has gRPC's status code
    ├── InvalidArgument      a field of the request is wrong; `field` names it
    ├── Unauthenticated      the API key is missing, wrong or expired
    ├── PermissionDenied     the API key may not do this
    ├── NotFound             no model has this name
    ├── AlreadyExists        another model has this name (Admin)
    ├── FailedPrecondition   the model cannot be loaded (Admin)
    ├── Aborted              another call is changing the model (Admin)
    ├── ResourceExhausted    a message is too large, or the server has no memory; a retry does not help
    │   └── Overloaded       the server or the API key is at its limit; `retry_after` is the time until a retry
    ├── Unavailable          the server cannot be reached, is loading or shutting down
    ├── DeadlineExceeded     the deadline passed, or the request would miss it
    ├── Cancelled            the call was cancelled
    ├── Internal             the model or the server failed on this request
    └── Unimplemented        the server does not have this method

A status without a class of its own is a RerankError. Every error is a `grpc.aio.AioRpcError`, too, and therefore a
`grpc.RpcError`: code that catches those, and calls `code()` and `details()`, works with every version of the client.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import grpc

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Cancelled",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "RerankError",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
]


class RerankError(grpc.aio.AioRpcError):
    """A call failed. `__cause__` is the error of gRPC. `str(error)` is one line: the status and the message.

    Errors can be pickled and copied, without their cause.
    """

    default_status: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    """Status of errors of this class that are made without one."""

    def __init__(
        self,
        message: str,
        *,
        status: grpc.StatusCode | None = None,
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        trailing_metadata: grpc.aio.Metadata | None = None,
    ) -> None:
        """Create an error. `status` is by default that of the class; the other parameters are attributes."""
        self.status = status or self.default_status
        """Status code of the call."""
        self.message = message
        """Message for people, without the status."""
        self.reason = reason
        """Stable identifier of the error for programs, such as `rate_limited`: the same as `error.code` of the JSON
        APIs. None if the error does not come from the server."""
        self.field = field
        """Field of the request that is wrong, such as `documents[3]`. None if it is no single field."""
        self.retry_after = retry_after
        """Seconds until a retry may succeed, as the server forecasts. None if it does not say."""
        self.request_id = request_id
        """Id of the request, which is also in the log of the server. None if the server did not respond."""
        super().__init__(self.status, grpc.aio.Metadata(), trailing_metadata or grpc.aio.Metadata(), message)

    def __str__(self) -> str:
        return f"{self.status.name}: {' '.join(self.message.split())}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Callable[..., "RerankError"], tuple[Any, ...]]:
        named = {name: getattr(self, name) for name in ("status", "reason", "field", "retry_after", "request_id")}
        return _rebuilt, (type(self), self.message, named, tuple(self.trailing_metadata()))


class InvalidArgument(RerankError):
    """A field of the request is wrong. `field` names it, such as `top_n` or `documents[3]`."""

    default_status = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(RerankError):
    """The server requires an API key, and the call has none, a wrong one or an expired one."""

    default_status = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(RerankError):
    """The API key may not use this model, or may not change the server."""

    default_status = grpc.StatusCode.PERMISSION_DENIED


class NotFound(RerankError):
    """No model of this name is served. The message lists the names that are."""

    default_status = grpc.StatusCode.NOT_FOUND


class AlreadyExists(RerankError):
    """Another model has this name or alias. Raised by AdminClient."""

    default_status = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(RerankError):
    """The model cannot be loaded; an earlier version of it serves on. Raised by AdminClient."""

    default_status = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(RerankError):
    """Another call is loading or unloading the model. Raised by AdminClient."""

    default_status = grpc.StatusCode.ABORTED


class ResourceExhausted(RerankError):
    """A message exceeds the limit of the server or of the client, or a model does not fit into the memory.

    The same call fails again, unless the error is an Overloaded.
    """

    default_status = grpc.StatusCode.RESOURCE_EXHAUSTED


class Overloaded(ResourceExhausted):
    """The server is at its capacity, or the API key at its limit. The call may succeed after `retry_after` seconds."""


class Unavailable(RerankError):
    """The server cannot be reached, or it is loading, restarting or shutting down. The call may succeed later."""

    default_status = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(RerankError):
    """The deadline passed, or the server forecasts that the request would miss it.

    Set a longer `timeout`, or send fewer documents.
    """

    default_status = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(RerankError):
    """Another thread closed the client or cancelled the call, or the server did so because it stops.

    Also raised for the next score of a call that has ended before its last score.
    """

    default_status = grpc.StatusCode.CANCELLED


class Internal(RerankError):
    """The model or the server failed on this request. The log of the server has the reason, by `request_id`."""

    default_status = grpc.StatusCode.INTERNAL


class Unimplemented(RerankError):
    """The server does not have this method: it is older than the client, or not a rerank-service."""

    default_status = grpc.StatusCode.UNIMPLEMENTED


def _rebuilt(
    kind: type[RerankError], message: str, named: dict[str, Any], metadata: tuple[tuple[str, str | bytes], ...]
) -> RerankError:
    """Return a pickled error."""
    return kind(message, **named, trailing_metadata=grpc.aio.Metadata(*metadata))
