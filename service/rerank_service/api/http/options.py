"""Options of the REST server."""

from dataclasses import dataclass

from rerank_service.api.address import ListenAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """Addresses, limits and timeouts of the REST server. All values are settings (settings)."""

    addresses: tuple[ListenAddress, ...]
    port: int
    """Port of all TCP addresses. 0: the system chooses one."""
    port_flag: str = "--rest-port"
    """The setting of the port, for errors."""
    max_body_bytes: int
    """Maximum size of a request body, in bytes."""
    default_timeout: float
    """Deadline of a request that sets none, in seconds."""
    cors_origins: tuple[str, ...]
    """Origins whose pages may send requests from a browser."""
    idle_timeout: float
    """Seconds without a request after which a connection is closed."""
