"""How much is measured."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """The full run; minutes are those of two cores without AMX."""

    rounds: int = 3
    """Turns of every contestant."""
    turn_seconds: float = 3.0
    """That the bare engine computes in a turn: what it does then is the work of all. More than there are in
    `least_requests` on a fast machine only."""
    least_requests: int = 16
    documents: int = 10
    """Of a request, where nothing else is said."""
    served_repeats: int = 4
    """How often a served contestant has the work in a turn, since starting and ending take a share of it."""
    clients: int = 16
    """Of a served contestant, where nothing else is said."""
    batches: Sequence[int] = (4, 8, 16, 32)
    """Batch sizes that are tried for peers."""
    served_batches: Sequence[int] = (8, 32)
    """Likewise where a process has to be started for each."""
    budgets: Sequence[int] = (256, 512, 1024, 2048, 4096)
    """Padded tokens of a batch, tried for the bare engine."""
    interactive_documents: int = 25
    interactive_requests: int = 20
    """Of this server and the bare engine, in turn."""
    interactive_requests_of_peers: int = 4
    level_clients: Sequence[int] = (1, 4, 16, 64)
    level_seconds: float = 10.0
    level_deadline: float = 60.0
    """Of each call there: Infinity was seen to leave some of 64 clients without an answer for good."""
    probes: int = 100
    """Requests of ten documents, alone and beside bulk."""
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
    level_seconds=3.0,
    probes=15,
    overload_seconds=8.0,
    memory_documents=1_000,
    cold_starts=2,
)
"""To see that all of it works; its figures are no measurement."""
