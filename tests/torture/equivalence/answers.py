"""Compare answers: without what may differ between two calls, and with scores within the drift of the engine."""

import math
from typing import Any

DRIFT = 1e-5
"""Largest difference of two scores of the same pair. In fp32, padding and neighbours in the batch change a logit by
less than 1e-6 (docs/performance.md); a sum of logits may change by a few times that."""

_OF_THE_CALL = {
    "id", "created", "created_at", "request_id", "runtime_ms", "e2e_latency", "inference_latency", "timing", "metadata",
    "padded_tokens",
}  # fmt: skip
"""Keys that differ between two calls of the same request."""
_COUNTS = {"usage", "meta", "input_tokens", "input_token_count", "tokens_input", "total_tokens"}
"""Keys with token counts. With a score cache they depend on what was scored before."""


def comparable(answer: Any, *, cached: bool, is_document: bool = False) -> Any:
    """Return an answer without what may differ. `cached`: the server has a score cache."""
    if isinstance(answer, list):
        return [comparable(each, cached=cached, is_document=is_document) for each in answer]
    if not isinstance(answer, dict):
        return answer
    left_out = set() if is_document else _OF_THE_CALL | (_COUNTS if cached else set())
    if "index" in answer:
        left_out = left_out - {"id"}  # the id of a document
    return {
        name: comparable(value, cached=cached, is_document=is_document or name in ("document", "input"))
        for name, value in answer.items()
        if name not in left_out
    }


def difference(answer: Any, expected: Any, place: str = "") -> str:
    """Return where an answer differs from the expected one; empty if it does not."""
    if isinstance(answer, float) and isinstance(expected, float | int) and not isinstance(expected, bool):
        near = math.isclose(answer, expected, rel_tol=DRIFT, abs_tol=DRIFT)
        return "" if near else f"{place or 'answer'}: {answer!r}, alone {expected!r}"
    if isinstance(answer, dict) and isinstance(expected, dict) and answer.keys() == expected.keys():
        return next(filter(None, (difference(answer[key], expected[key], f"{place}.{key}") for key in answer)), "")
    if isinstance(answer, list) and isinstance(expected, list) and len(answer) == len(expected):
        pairs = enumerate(zip(answer, expected, strict=True))
        return next(filter(None, (difference(*both, f"{place}[{number}]") for number, both in pairs)), "")
    return "" if answer == expected else f"{place or 'answer'}: {answer!r}, alone {expected!r}"
