"""Estimate the tokens of a document's pairs from lengths in characters, before anything is tokenized. Pure."""

from dataclasses import dataclass

from rerank_service.encoding.reading_plan import ReadingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEstimate:
    """Estimates the tokens of the documents of one request."""

    plan: ReadingPlan
    tokens_per_char: float
    """Token rate of texts, as it was when the request arrived."""
    template: float
    """Tokens of the template, with the instruction."""
    query_chars: int
    """Length of the request's query in characters."""

    def __call__(self, chars: int, query_chars: int | None = None) -> float:
        """Return the estimated tokens of all pairs of a document with `chars` characters.

        `query_chars` is the length of its own query. None: it has the query of the request. The estimate is 0 for a
        request that will be rejected, because the query or the instruction is too long.
        """
        limits = self.plan.pair
        query = self.tokens_per_char * (self.query_chars if query_chars is None else query_chars)
        longest = limits.longest_query(self.template)
        if query > longest and not limits.cut_query and self.template + query > 2 * limits.tokens:
            return 0.0
        fixed = min(self.template + max(1.0, min(query, longest)), limits.tokens - 1)
        return self.plan.pair_tokens(self.tokens_per_char * chars, fixed)
