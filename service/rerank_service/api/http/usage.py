"""What a ranking cost, as most dialects tell it."""

from typing_extensions import TypedDict

from rerank_service.ranking.ranking import Ranking


class Usage(TypedDict):
    """Tokens. Three integers: together 1.x, infinity_client and voyageai each demand one or the other."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def usage(ranking: Ranking) -> Usage:
    """The tokens of a ranking."""
    tokens = ranking.usage.prompt_tokens
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
