"""Token usage of a ranking, in the form that most dialects use."""

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.ranking.ranking import Ranking


@documented
class Usage(TypedDict):
    """Token usage. All fields are integers: together 1.x, infinity_client and voyageai require them."""

    prompt_tokens: int
    """Tokens of all pairs, without padding."""
    completion_tokens: int
    """Always 0: a reranker generates no tokens."""
    total_tokens: int
    """The same number as `prompt_tokens`."""


def usage(ranking: Ranking) -> Usage:
    """Return the token usage of a ranking."""
    tokens = ranking.usage.prompt_tokens
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
