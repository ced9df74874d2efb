"""Context of one request, the same for gRPC and REST: id, call, caller and deadline."""

from dataclasses import dataclass

from rerank_service.scheduling.caller import ANYBODY, Caller
from rerank_service.scheduling.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Id, call, caller and deadline of one request."""

    id: str
    """The caller's `x-request-id`, or a new id."""
    call: str
    """Full name of the gRPC method, or HTTP path."""
    deadline: Deadline
    caller: Caller = ANYBODY
    """Holder of the API key. Anonymous until the key is checked."""


def internal_error_message(request_id: str) -> str:
    """Return the message for an error that no request should cause. It has no details: they could quote a caller."""
    return f"internal error: see request id {request_id} in the server's log"
