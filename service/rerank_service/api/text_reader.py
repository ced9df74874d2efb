"""Reader for documents that are plain strings, as in the protocols of TEI and NVIDIA."""

from typing import Any

from rerank_service.encoding.text_length import text_length
from rerank_service.errors import InvalidRequest
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength


class TextReader(Reader):
    """Reads documents that are strings."""

    def length(self, raw: Any) -> TextLength:
        """Return the length of the string. Return 0 for any other type, which `read` rejects."""
        return text_length(raw) if isinstance(raw, str) else TextLength(0)

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document.

        Raises:
            InvalidRequest: the document is not a string. The error names `field`.
        """
        if not isinstance(sent.raw, str):
            raise InvalidRequest(f"{field} must be a string", field=field, reason="wrong_type")
        return Document(sent.raw, original=sent.raw, size=sent.chars)
