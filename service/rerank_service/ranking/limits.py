"""Limits of one request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Maximum size of one request. Fields without a default are settings (`settings`)."""

    max_documents: int
    """Maximum number of documents in a unary request."""
    max_stream_documents: int
    """Maximum number of documents in a stream."""
    document_tokens: int
    """Tokens that are read of each document, unless the request sets `max_tokens_per_doc`."""
    window_tokens: int | None
    """Maximum tokens of a window. None: the default for the model."""
    max_windows: int
    """Maximum number of windows in a unary request, beyond the first window of each document."""
    max_highlighted_results: int
    """Maximum number of results in which a request may have highlights."""
    max_query_chars: int
    """Maximum length of the query, and of the instruction, in characters."""
    max_document_chars: int
    """Maximum length of a document, in characters."""
    max_kept_bytes: int = 32 * 1024 * 1024
    """Maximum memory, in bytes, of the documents that a stream with `return_documents` keeps for its ranking. As many
    bytes may be in progress: the stream is read further when there is room."""
    room: int = 2_048
    """Maximum number of pairs of a request in progress. A stream is read further when there is room."""
    part_documents: int = 256
    """Maximum number of documents that are tokenized in one step."""
    part_chars: int = 1_000_000
    """Maximum number of characters that are tokenized in one step, so that a cancelled request ends soon."""
