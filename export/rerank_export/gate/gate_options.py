"""Options of the user for the comparison with PyTorch."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from rerank_export.errors import ExportFailed

QUERIES_VARIABLE = "RERANK_PARITY_QUERIES"
"""Environment variable with the default number of queries."""


def _default_queries() -> int | None:
    value = os.environ.get(QUERIES_VARIABLE, "")
    if value and not (value.isdecimal() and int(value)):
        raise ExportFailed(f"{QUERIES_VARIABLE}={value!r} must be a whole number of at least 1")
    return int(value) if value else None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """The parity set, and whether a difference ends the export."""

    parity: Path | None = None
    """The user's own parity set; None: the built-in one."""
    queries: int | None = field(default_factory=_default_queries)
    """Number of queries from its start; None: all. The default is that of RERANK_PARITY_QUERIES."""
    allow_drift: bool = False
    """Keep and mark a bundle whose scores are outside the tolerance."""
