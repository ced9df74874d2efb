"""What TEI tells of a model and of a call, over either protocol."""

from rerank_service.ranking.results import Timing

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def dtype(precision: str) -> str:
    """A precision by TEI's name."""
    return _DTYPES.get(precision, precision)


def cost_headers(chars: int, tokens: int, timing: Timing) -> dict[str, str]:
    """Characters and tokens of all pairs, and milliseconds."""
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
