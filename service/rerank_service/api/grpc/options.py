"""Options of the gRPC server."""

from dataclasses import dataclass

from rerank_service.api.address import ListenAddress
from rerank_service.api.tls.store import CertificateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """Addresses, limits and timeouts of the gRPC server. All values are settings (settings)."""

    addresses: tuple[ListenAddress, ...]
    port: int
    """Port of all TCP addresses. 0: the system chooses one."""
    port_flag: str = "--grpc-port"
    """Setting of the port, for messages."""
    host_flag: str = "--host"
    """Setting of the addresses, for messages."""
    max_message_bytes: int
    """Maximum size of one received message, in bytes."""
    default_timeout: float
    """Deadline of a call that sets none, in seconds."""
    max_connection_age: float | None
    """Seconds after which a connection is closed gracefully (GOAWAY). None: never."""
    min_ping_interval: float
    """Minimum seconds between two pings of a client. A client that pings more often is disconnected. 0: no minimum."""
    keepalive_time: float
    """Seconds without traffic after which the server pings a client."""
    header_timeout: float
    """Seconds for the TLS handshake and the start of HTTP/2."""
    progress_timeout: float
    """Seconds for the response to a ping."""
    idle_timeout: float
    """Seconds without calls after which a connection is closed gracefully (GOAWAY)."""
    max_connections: int
    """Maximum number of connections to each address."""
    max_connection_calls: int
    """Maximum number of calls at a time on one connection."""
    tls: CertificateStore | None = None
    """Certificates of all TCP addresses. None: connections are not encrypted."""
