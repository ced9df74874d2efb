"""Errors of gRPC, translated into those of rerank.errors. Private: import from rerank.errors."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message

from rerank import errors
from rerank.errors import Overloaded, RerankError
from rerank.status import status_pb2 as pb

_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"
_CLASSES: dict[grpc.StatusCode, type[RerankError]] = {
    kind.default_status: kind
    for name in errors.__all__
    if (kind := getattr(errors, name)) not in (RerankError, Overloaded)
}
_NO_CONNECTION = re.compile(
    r".*last error: [A-Z_]+: (?:ipv[46]:)?(?P<peer>\S+): (?:Failed to connect to remote host: )?(?P<cause>.+)",
    re.DOTALL,
)
"""gRPC's message for an address without a connection. The peer is percent-encoded."""
_HTTP_1 = "an http1.x server"
"""Part of gRPC's message for a server that speaks HTTP/1, such as our REST port."""
_NO_TLS = "WRONG_VERSION_NUMBER"
"""Part of gRPC's message for a server without TLS, which a client with TLS called."""


def translated(error: Any) -> RerankError:
    """Return the error of a call as a RerankError. `error` is a grpc.RpcError of a call, blocking or not.

    A RESOURCE_EXHAUSTED with RetryInfo is an Overloaded. gRPC itself uses the status for messages that are too large,
    without RetryInfo.
    """
    metadata = tuple(error.trailing_metadata() or ())
    bad_request, retry_info, error_info = pb.BadRequest(), pb.RetryInfo(), pb.ErrorInfo()
    found = _unpack(metadata, (bad_request, retry_info, error_info))
    retry_after = retry_info.retry_delay.ToNanoseconds() / 1e9 if retry_info in found else None
    status = error.code()
    kind = _CLASSES.get(status, RerankError)
    if kind is errors.ResourceExhausted and retry_after is not None:
        kind = Overloaded
    return kind(
        _readable(error.details() or ""),
        status=status,
        reason=error_info.reason.lower() or None,
        field=next((violation.field for violation in bad_request.field_violations), None),
        retry_after=retry_after,
        request_id=next((str(value) for name, value in metadata if name == _REQUEST_ID), None),
        trailing_metadata=grpc.aio.Metadata(*((name, value) for name, value in metadata)),
    )


def _readable(details: str) -> str:
    """Return the message of an error. One of gRPC about a connection gets the peer, the cause and the next step."""
    found = _NO_CONNECTION.fullmatch(details)
    if found is None:
        return details
    peer, cause = unquote(found["peer"]), found["cause"]
    if _NO_TLS in cause:
        return f"{peer} has no TLS: give grpc://{peer}"
    if _HTTP_1 in cause:
        return f"{peer} speaks HTTP/1, so it is not a gRPC server: give the gRPC port, not the REST port"
    return f"no connection to {peer}: {cause}: check that the server runs, and that this is its gRPC address"


def _unpack(metadata: Iterable[tuple[str, str | bytes]], wanted: tuple[Message, ...]) -> list[Message]:
    """Fill the wanted messages with the details of a status, and return those that it has."""
    packed = next((value for name, value in metadata if name == _DETAILS), b"")
    found = []
    try:
        for detail in pb.Status.FromString(packed if isinstance(packed, bytes) else b"").details:
            name = detail.type_url.rpartition(".")[2]
            for message in wanted:
                if message.DESCRIPTOR.name == name:
                    message.ParseFromString(detail.value)
                    found.append(message)
    except DecodeError:  # from a proxy, or cut on the way
        pass
    return found
