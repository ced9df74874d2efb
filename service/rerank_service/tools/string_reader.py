"""Reader of documents that are strings, for commands that score without an API."""

from rerank_service.ranking.document import Document, Reader, SentDocument


class StringReader(Reader):
    """Reads documents that are strings, which are always valid."""

    def chars(self, raw: str) -> int:
        """Return the length of the text."""
        return len(raw)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - the name of a wrong field
        """Return the document to score."""
        return Document(sent.raw)
