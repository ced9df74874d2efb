"""Limits of one request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How much one request may ask for. Fields without a default are settings (settings.py)."""

    max_documents: int
    """Documents of a unary request."""
    max_stream_documents: int
    """Documents of a stream."""
    document_tokens: int
    """Tokens that are read of a document, where the request does not set `max_tokens_per_doc`."""
    window_tokens: int | None
    """Tokens of a document in one window, where the document is too long for the model. None: what suits the model."""
    max_windows: int
    """Windows of a unary request, beyond the first window of each document."""
    max_query_chars: int
    """Characters of the query, and of the instruction."""
    max_document_chars: int
    """Characters of a document."""
    max_kept_bytes: int = 32 * 1024 * 1024
    """Bytes of documents that a stream with `return_documents` may hold for its ranking."""
    room: int = 2_048
    """Pairs of one request that may wait to be scored. A stream is read on when there is room."""
    part_documents: int = 256
    """Documents that are tokenized at once."""
    part_chars: int = 1_000_000
    """Characters that are tokenized at once, so that a cancelled request stops soon."""
