"""Settings of maximum sizes of requests and of all requests together."""

from typing import ClassVar

from rerank_service.settings.field_types import Count, MessageBytes
from rerank_service.settings.group import SettingsGroup


class LimitSettings(SettingsGroup):
    """Settings of maximum sizes of requests and of all requests together."""

    heading: ClassVar[str] = "Limits"

    max_documents: Count = 10_000
    """Maximum number of documents in a unary request."""
    max_stream_documents: Count = 1_000_000
    """Maximum number of documents in a stream."""
    max_live_documents: Count = 100_000
    """Maximum number of documents in all unary requests for one model that are not finished. The server rejects a
    request beyond it as overloaded (429), with the time to retry after. A request without others beside it is always
    accepted. It bounds memory, about 1 KiB per short document."""
    max_live_tokens: Count = 20_000_000
    """Maximum number of tokens that are not computed yet, over all requests for one model. The server rejects a request
    beyond it as overloaded (429), with the time to retry after. A request without others beside it is always accepted.
    It bounds waiting time."""
    max_query_chars: Count = 100_000
    """Maximum length of a query, in characters."""
    max_document_chars: Count = 1_000_000
    """Maximum length of a document, in characters."""
    document_tokens: Count = 8192
    """Token limit per document for requests that do not set `max_tokens_per_doc`. The rest of the document is cut. A
    document that exceeds the token limit of the model is scored in windows."""
    window_tokens: Count | None = None
    """Maximum size of a window, in tokens of the document. Unset: 256 for models of up to 512 tokens; for other models,
    the space beside the query. With a value, models of more than 512 tokens score every document beyond it in windows:
    for documents of thousands of tokens that takes less time and much less memory."""
    max_windows: Count = 10_000
    """Maximum number of windows in a unary request, not counting the first window of each document."""
    max_highlighted_results: Count = 100
    """Maximum number of results in which a request may have `highlights`. Each result has up to 100 sentences, and each
    sentence costs as much as a short document. A request for more results must set `top_n`."""
    max_message_bytes: MessageBytes = 32 * 1024 * 1024
    """Maximum size of a gRPC message or an HTTP body, in bytes, up to 1 GiB."""
