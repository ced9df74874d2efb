"""Options of the REST server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """Limits and timeouts of the REST server. All values are settings (settings.py)."""

    host: str
    port: int
    """0: the system chooses a port."""
    max_body_bytes: int
    """Maximum size of a request body, in bytes."""
    default_timeout: float
    """Deadline of a request that sets none, in seconds."""
