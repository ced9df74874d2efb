"""The header `Server-Timing` of a ranking. Source: W3C Server Timing; browsers show it in their network panel."""

from rerank_service.ranking.results import Timing

SERVER_TIMING = "server-timing"


def server_timing(timing: Timing) -> dict[str, str]:
    """Return the header with the parts of the time, in milliseconds: `queue;dur=1.2, tokenize;dur=0.4, …`."""
    parts = {
        "queue": timing.queue,
        "tokenize": timing.tokenize,
        "inference": timing.inference,
        "total": timing.total,
    }
    return {SERVER_TIMING: ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in parts.items())}
