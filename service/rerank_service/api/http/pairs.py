"""Documents with their own queries, as vLLM's scores and DeepInfra have them."""

from collections.abc import Sequence

from rerank_service.encoding.text_length import text_length
from rerank_service.errors import InvalidRequest
from rerank_service.quantities import counted
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength


class PairReader(Reader):
    """Reads pairs of a query and a text. A query of None stands for the query of the request."""

    def length(self, raw: tuple[str | None, str]) -> TextLength:
        """Return the length of the text."""
        return text_length(raw[1])

    def query_chars(self, raw: tuple[str | None, str]) -> int | None:
        """Return the length of the pair's own query in characters. None: it has the query of the request."""
        query, _ = raw
        return None if query is None else len(query)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - a string is always valid
        """Return the text as a document with its own query."""
        query, text = sent.raw
        return Document(text, original=text, size=len(text), query=query)


def check_pairs(queries: Sequence[str], texts: Sequence[str], first: str, second: str) -> None:
    """Check that there is one query, or as many as texts, and that no query is empty.

    Raises:
        InvalidRequest: the two sides make no pairs. The error names `first` or `second`, the fields of the sides.
    """
    for name, values in ((first, queries), (second, texts)):
        if not values:
            raise InvalidRequest(f"{name} is required, and must not be empty", field=name, reason="missing")
    if not all(queries):
        raise InvalidRequest(f"{first} must not contain an empty text", field=first, reason="empty_query")
    if len(queries) not in (1, len(texts)):
        raise InvalidRequest(
            f"{first} has {counted(len(queries), 'text')} and {second} has {len(texts):,}: "
            f"send one text in {first}, or as many as in {second}",
            field=first,
            reason="counts_differ",
        )
