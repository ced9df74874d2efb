"""Reader of documents that are strings, for commands that score without an API."""

from rerank_service.encoding.text_length import text_length
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength


class StringReader(Reader):
    """Reads documents that are strings, which are always valid."""

    def length(self, raw: str) -> TextLength:
        """Return the length of the text."""
        return text_length(raw)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - the name of a wrong field
        """Return the document to score."""
        return Document(sent.raw)
