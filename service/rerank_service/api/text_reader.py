"""Reader for documents that are plain strings, as in the protocols of TEI and NVIDIA."""

from typing import Any

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.document import Document, Reader, SentDocument


class TextReader(Reader):
    """Reads documents that are strings."""

    def chars(self, raw: Any) -> int:
        """Return the length of the string in characters. Return 0 for any other type, which `read` rejects."""
        return len(raw) if isinstance(raw, str) else 0

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document.

        Raises:
            InvalidRequest: the document is not a string. The error names `field`.
        """
        if not isinstance(sent.raw, str):
            raise InvalidRequest(f"{field} must be a string", field=field, reason="wrong_type")
        return Document(sent.raw, original=sent.raw, size=sent.chars)
