"""Values that TEI reports about a model and about a call, the same over gRPC and REST.

Source: text-embeddings-inference, router/src/http/server.rs.
"""

from rerank_service.ranking.results import Timing

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def dtype(precision: str) -> str:
    """Return TEI's name of a precision: `float32` for `fp32`. Precisions that TEI does not have keep their name."""
    return _DTYPES.get(precision, precision)


def cost_headers(chars: int, tokens: int, timing: Timing) -> dict[str, str]:
    """Return TEI's headers for the size and the duration of a call.

    Args:
        chars: characters of all pairs; the query counts once per text.
        tokens: tokens of all pairs.
        timing: durations in seconds; the headers give them in milliseconds.
    """
    return {
        "x-compute-type": "optimized",
        "x-compute-time": _milliseconds(timing.total),
        "x-compute-characters": str(chars),
        "x-compute-tokens": str(tokens),
        "x-total-time": _milliseconds(timing.total),
        "x-tokenization-time": _milliseconds(timing.tokenize),
        "x-queue-time": _milliseconds(timing.queue),
        "x-inference-time": _milliseconds(timing.inference),
    }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
