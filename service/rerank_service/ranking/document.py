"""A document: as a caller sent it, and as it is scored."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

Span = tuple[int, int]
"""Start and end of a part of a text, in Unicode code points from 0; the end is excluded."""

MAX_ID_CHARS = 1024
"""Maximum length of a document's id, in characters. A stream keeps the id of every document."""


@dataclass(frozen=True, slots=True)
class SentDocument:
    """A document as the caller sent it."""

    raw: Any
    """A string, a dict or a protobuf message, depending on the protocol."""
    chars: int
    """Approximate length of its text, in characters. Counted once, when the document arrives."""


@dataclass(frozen=True, slots=True)
class Document:
    """One candidate, read and ready to be tokenized."""

    text: str
    """The text that the model reads."""
    _: KW_ONLY
    original: Any = None
    """The document to return with `return_documents`, in the form of the protocol it came by."""
    id: str | None = None
    """The caller's own id."""
    size: int = 0
    """Approximate memory that `original` takes, in bytes."""
    query: str | None = None
    """The query of this document alone, where it differs from the request's query."""


class Reader(Protocol):
    """Reads the documents of one protocol. `read` is slow, so it runs in parts, outside the event loop."""

    def chars(self, raw: Any) -> int:
        """Return the approximate length of a document's text, in characters. Fast."""

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document to score.

        Raises:
            InvalidRequest: it has no text to rank; the error names `field`.
        """
