"""Sizes of the measurements of a shape."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeOptions:
    """Sizes of a benchmark of shapes; the defaults are those of the full one."""

    lengths: Sequence[int] = (40, 130, 500)
    """Tokens of a document."""
    rounds: int = 3
    """Number of rounds. In each one, this server and one setting of the peer have a turn."""
    turn_seconds: float = 2.0
    """About the duration of a turn of this server."""
    least_requests: int = 2
    documents: int = 10
    """Documents per request."""
    clients: int = 8
    """Clients of the server."""
    served_repeats: int = 2
    """Number of times that the server does the work in one turn, so that start and end count less."""
    batches: Sequence[int] = (4, 8, 16, 32)
    """Batch sizes to try for the peer, in pairs."""
    parity_queries: int = 20
    """Queries of the parity set on which the relevance loss is measured, each with 20 documents."""
    precision: str | None = None
    """Precision of this server; None: that of the engine that `auto` chooses."""
    tune_seconds: float = 1_800.0
    """Maximum duration of the tuning after the first start (--tune-seconds). It ends when all is decided."""


FULL = ShapeOptions()
QUICK = ShapeOptions(
    rounds=1, turn_seconds=0.5, least_requests=1, batches=(16,), parity_queries=4, tune_seconds=300.0, served_repeats=1
)
"""Sizes of `QUICK=1`, which checks that the benchmark works. Its figures are not meaningful."""
