"""Sizes of the measurements."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of a benchmark; the defaults are those of the full one."""

    rounds: int = 3
    """Number of rounds. Each system has one turn per round."""
    turn_seconds: float = 3.0
    """Duration of a turn of the bare engine; its work in that time is the work of all systems."""
    least_requests: int = 16
    """Minimum number of requests of a turn."""
    documents: int = 10
    """Documents per request, unless stated otherwise."""
    served_repeats: int = 4
    """Number of times that a server does the work in one turn.

    Repeating reduces the share of start and end, when few clients are active.
    """
    clients: int = 16
    """Clients of a server, unless stated otherwise."""
    batches: Sequence[int] = (4, 8, 16, 32)
    """Batch sizes to try for peers, in pairs."""
    served_batches: Sequence[int] = (8, 32)
    """Batch sizes to try for served peers, which restart for each size."""
    budgets: Sequence[int] = (256, 512, 1024, 2048, 4096)
    """Batch sizes to try for the bare engine, in padded tokens."""
    interactive_documents: int = 25
    interactive_requests: int = 20
    """Interactive requests to this server and to the bare engine."""
    interactive_requests_of_peers: int = 4
    parity_queries: int = 40
    """Queries of the parity set on which the relevance loss is measured, each with 20 documents."""
    level_clients: Sequence[int] = (1, 4, 16, 64)
    level_seconds: float = 10.0
    level_deadline: float = 60.0
    """Deadline of each call, in seconds: Infinity sometimes never responds to some of 64 clients."""
    probes: int = 100
    """Small requests, alone and beside bulk requests."""
    bulk_documents: int = 1_000
    bulk_clients: int = 2
    overload_seconds: float = 30.0
    overload_deadline: float = 5.0
    memory_documents: int = 10_000
    memory_tokens: int = 200
    cold_starts: int = 5


FULL = Options()
QUICK = Options(
    rounds=1,
    turn_seconds=1.5,
    served_repeats=2,
    batches=(8, 32),
    served_batches=(32,),
    budgets=(512, 2048),
    interactive_requests=5,
    interactive_requests_of_peers=1,
    parity_queries=4,
    level_seconds=3.0,
    probes=15,
    overload_seconds=8.0,
    memory_documents=1_000,
    cold_starts=2,
)
"""Sizes of `QUICK=1`, which checks that the benchmark works. Its figures are not meaningful."""
