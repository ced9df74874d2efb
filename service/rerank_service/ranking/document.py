"""A document, as the caller sent it and as it is scored."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Protocol

from rerank_service.ranking.request import CutSide, TooLong

Span = tuple[int, int]
"""Start and end of a part of a text, in Unicode code points from 0. The end is excluded."""

MAX_ID_CHARS = 1024
"""Maximum length of a document's id, in characters. A stream keeps the id of every document."""


class TextLength(NamedTuple):
    """The length of a text, as it is known before the text is tokenized."""

    chars: int
    """Approximate number of characters."""
    is_dense: bool = False
    """True if the text has many tokens per character, as Chinese text has."""


class SentDocument(NamedTuple):
    """A document as the caller sent it."""

    raw: Any
    """A string, a dict or a protobuf message, depending on the protocol."""
    chars: int
    """Approximate length of its text, in characters. Counted once, when the document arrives."""
    query_chars: int | None = None
    """Length of its own query, in characters. None: it has the query of the request."""
    is_dense: bool = False
    """True if its text has many tokens per character, as `TextLength` says."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The treatment of one document that is too long, and of its query."""

    too_long: TooLong
    side: CutSide


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read, ready for the tokenizer."""

    text: str
    """The text that the model scores."""
    _: KW_ONLY
    original: Any = None
    """The document to return with `return_documents`, in the form of its protocol."""
    id: str | None = None
    """The caller's name for the document. None: the document has no id."""
    size: int = 0
    """Approximate memory of `original`, in bytes."""
    query: str | None = None
    """A query for this document alone, in place of the request's query."""
    cut: Cut | None = None
    """The treatment of this document alone, in place of `too_long` and `cut_side` of the request."""


class Reader(Protocol):
    """Reads the documents of one protocol. `read` is slow, so it runs in a worker thread, a part at a time."""

    def length(self, raw: Any) -> TextLength:
        """Return the approximate length of a document's text. Fast."""

    def items(self, raw: Any) -> int:  # noqa: ARG002 - for readers of objects
        """Return the number of parts that `length` looks at."""
        return 1

    def query_chars(self, raw: Any) -> int | None:  # noqa: ARG002 - for readers of documents with queries
        """Return the length of a document's own query, in characters. None: it has the query of the request."""
        return None

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document to score. `field` names the document in errors, such as `documents[3]`.

        Raises:
            InvalidRequest: the document has no text to rank.
        """
