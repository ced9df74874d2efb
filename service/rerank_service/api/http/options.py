"""Options of the REST server."""

from dataclasses import dataclass

from rerank_service.api.address import ListenAddress
from rerank_service.api.tls.store import CertificateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """Addresses, limits and timeouts of the REST server. All values are settings (settings)."""

    addresses: tuple[ListenAddress, ...]
    port: int
    """Port of all TCP addresses. 0: the system chooses one."""
    max_body_bytes: int
    """Maximum size of a request body, in bytes."""
    default_timeout: float
    """Deadline of a request that sets none, in seconds."""
    cors_origins: tuple[str, ...]
    """Origins whose pages may send requests from a browser."""
    idle_timeout: float
    """Seconds without a request after which a connection is closed."""
    tls: CertificateStore | None = None
    """Certificates of all TCP addresses. None: connections are not encrypted."""
