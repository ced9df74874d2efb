"""The context of one request at the edge: its id, its caller, its deadline. The same for both protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rerank_service.api.auth import Caller
from rerank_service.scheduling.deadline import Deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Who calls what, and until when."""

    id: str
    """The caller's `x-request-id`, or a new one."""
    protocol: Literal["grpc", "rest"]
    call: str
    """Full name of the gRPC method, or HTTP path."""
    deadline: Deadline
    caller: Caller = field(default_factory=Caller)
    """Anonymous until the API key is checked."""

    def log_fields(self) -> Mapping[str, str]:
        """Return the fields that identify the request in a log line."""
        return {
            "protocol": self.protocol,
            "call": self.call,
            "request_id": self.id,
            "caller": self.caller.name,
        }
