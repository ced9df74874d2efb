"""Options of the REST server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """How the REST server reads requests. All values are settings (settings.py)."""

    max_body_bytes: int
    default_timeout: float
    """Deadline of a request that sets none, in seconds."""
