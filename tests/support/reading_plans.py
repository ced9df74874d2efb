"""Reading plans for tests."""

from typing import Any

from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.encoding.reading_plan import ReadingPlan


def plan_for(
    tokens: int, *, max_tokens: int = 8192, limits: dict[str, Any] | None = None, **fields: Any
) -> ReadingPlan:
    """Return a plan for pairs of at most `tokens` tokens. `limits` are further fields of its PairLimits."""
    return ReadingPlan(pair=PairLimits(tokens=tokens, **(limits or {})), max_tokens=max_tokens, **fields)
