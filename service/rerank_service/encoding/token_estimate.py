"""Estimate the tokens of a document's pairs from lengths in characters, before anything is tokenized. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.token_rate import TextRates
from rerank_service.ranking.document import SentDocument
from rerank_service.ranking.request import RerankRequest


class Measured(Protocol):
    """A document whose texts were counted."""

    @property
    def chars(self) -> int:
        """Length of its text, in characters."""

    @property
    def query_chars(self) -> int | None:
        """Length of its own query, in characters. None: it has the query of the request."""

    @property
    def is_dense(self) -> bool:
        """True if its text has many tokens per character. Its own query counts as such a text, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEstimate:
    """Estimates the tokens of the documents of one request."""

    plan: ReadingPlan
    rates: TextRates
    """Token rates of texts, as they were when the request arrived."""
    template: float
    """Tokens of the template, with the instruction."""
    query_tokens: float
    """Estimated tokens of the request's query."""
    _fixed: float = field(init=False)
    """Tokens of template and query in each pair, for the request's query."""
    _short: float = field(init=False)
    """Tokens up to which a document is read as a whole, in one pair with the request's query."""

    def __post_init__(self) -> None:
        fixed = self._fixed_for(self.query_tokens)
        object.__setattr__(self, "_fixed", fixed)
        object.__setattr__(self, "_short", self.plan.short_tokens(fixed))

    @property
    def query_fits(self) -> bool:
        """True if the request's query needs no cut if it has the estimated tokens. It may have far fewer: blanks are
        characters, and no tokens."""
        return self.query_tokens <= self.plan.pair.longest_query(self.template)

    def total(self, documents: Iterable[Measured]) -> float:
        """Return the estimated tokens of all pairs of documents. Fast where documents are short."""
        rates, fixed, short = self.rates, self._fixed, self._short
        return sum(
            [
                fixed + tokens
                if (tokens := rates[document.is_dense] * document.chars) <= short and document.query_chars is None
                else self(document.chars, document.query_chars, is_dense=document.is_dense)
                for document in documents
            ]
        )

    def __call__(self, chars: int, query_chars: int | None = None, *, is_dense: bool = False) -> float:
        """Return the estimated tokens of all pairs of a document with `chars` characters.

        `query_chars` is the length of its own query. None: it has the query of the request. A query counts at most the
        tokens that the longest accepted one has.
        """
        rate = self.rates[is_dense]
        fixed = self._fixed if query_chars is None else self._fixed_for(rate * query_chars)
        return self.plan.pair_tokens(rate * chars, fixed)

    def longest_pair(self, documents: Iterable[Measured] = ()) -> float:
        """Return the maximum tokens of one pair: of the request's query, or of a document's own query."""
        own = max((self.rates[each.is_dense] * each.query_chars for each in documents if each.query_chars), default=0)
        fixed = max(self._fixed, self._fixed_for(own))
        return fixed + self.plan.short_tokens(fixed)

    def highlights(self, request: RerankRequest, documents: Sequence[SentDocument]) -> float:
        """Return the estimated tokens of the sentences to highlight: those of as many average documents as the request
        has results."""
        if not request.highlights:
            return 0.0
        results = min(request.top_n or len(documents), len(documents))
        return sum(self._sentences(document) for document in documents) * results / len(documents)

    def _sentences(self, document: SentDocument) -> float:
        rate = self.rates[document.is_dense]
        fixed = self._fixed if document.query_chars is None else self._fixed_for(rate * document.query_chars)
        return self.plan.sentence_tokens(rate * document.chars, fixed)

    def _fixed_for(self, query: float) -> float:
        """Return the tokens of template and query, at least 1, for a query of about `query` tokens.

        One that seems to be too long counts as the longest that is accepted: it is cut, or it is accepted only if it
        has fewer tokens than estimated.
        """
        limits = self.plan.pair
        longest = limits.longest_query(self.template)
        return max(1.0, min(self.template + max(1.0, min(query, longest)), limits.tokens - 1))
