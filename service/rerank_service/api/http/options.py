"""Options of the REST server."""

from dataclasses import dataclass

from rerank_service.api.address import ListenAddress
from rerank_service.api.tls.store import CertificateStore

MIN_PROGRESS_BYTES = 1024
"""A client that sends or reads fewer bytes in `progress_timeout` seconds is too slow, even if it sends one a second."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of slow clients, and of the connections to one address."""

    max_connections: int
    """Maximum number of open connections."""
    header_timeout: float
    """Seconds for the TLS handshake, and for the headers of a request."""
    progress_timeout: float
    """Seconds in which 1 KiB of a body must arrive, and in which a client must read 1 KiB or 1/20 of a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """Addresses, limits and timeouts of the REST server. All values are settings (settings)."""

    addresses: tuple[ListenAddress, ...]
    port: int
    """Port of all TCP addresses. 0: the system chooses one."""
    port_flag: str = "--rest-port"
    """The setting of the port, for errors."""
    host_flag: str = "--host"
    """The setting of the addresses, for errors."""
    max_body_bytes: int
    """Maximum size of a request body, in bytes."""
    default_timeout: float
    """Deadline of a request that sets none, in seconds."""
    cors_origins: tuple[str, ...]
    """Origins whose pages may send requests from a browser."""
    idle_timeout: float
    """Seconds without a request after which a connection is closed."""
    connections: ConnectionLimits
    """Limits of slow clients and of the number of connections."""
    tls: CertificateStore | None = None
    """Certificates of all TCP addresses. None: connections are not encrypted."""
