"""Messages of rerank.v1, built from query, documents and options. Private: import from rerank.client."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypedDict

from rerank.v1 import rerank_pb2 as pb

Content = str | pb.Document
"""A document: plain text, or a Document message with an object, JSON or an id."""
OnScores = Callable[[pb.PartialScores], None]
"""Callback that receives the scores that the server sends before the final ranking of a stream."""

_CHUNK_DOCUMENTS = 256
_CHUNK_BYTES = 1_000_000


class Options(TypedDict, total=False):
    """Optional fields of RerankRequest. rerank.proto describes each field."""

    model: str
    top_n: int | None
    return_documents: bool
    rank_fields: Sequence[str]
    max_tokens_per_doc: int | None
    max_chunks_per_doc: int | None
    overlap_tokens: int | None
    window_score: pb.WindowScore.ValueType
    too_long: pb.TooLong.ValueType
    cut_side: pb.CutSide.ValueType
    query_too_long: pb.QueryTooLong.ValueType
    max_query_tokens: int | None
    score_type: pb.ScoreType.ValueType
    min_score: float | None
    priority: int
    instruction: str | None
    highlights: int | None


def check_documents(documents: object, *, asynchronous: bool = False) -> None:
    """Reject a single document, and every object that is not a collection of documents.

    A string is iterable, and each letter would be ranked as a document. For a dict, the keys would be ranked.

    Raises:
        TypeError: `documents` is one document instead of several, or an iterator that this method does not read.
    """
    kind = type(documents).__name__
    if isinstance(documents, str | bytes | pb.Document):
        raise TypeError(f"documents must be several documents, not one {kind}: pass a list")
    if isinstance(documents, Mapping):
        raise TypeError(f"documents must be several documents, not a {kind}: pass list(documents.values()), or a list")
    if isinstance(documents, AsyncIterable):
        if not asynchronous:
            raise TypeError(
                f"documents is asynchronous ({kind}): pass a list, or use rerank_stream or scores of AsyncRerankClient"
            )
    elif not hasattr(documents, "__iter__") and not hasattr(documents, "__getitem__"):
        raise TypeError(f"documents must be several documents, not {kind}: pass a list")


def rerank_request(query: str, documents: Iterable[Content], options: Options) -> pb.RerankRequest:
    """Return the message of a unary call. Lone surrogates in its texts become U+FFFD.

    Raises:
        TypeError: `query`, a document or an option has the wrong type.
        ValueError: an option has an unknown name.
    """
    check_documents(documents)
    if not isinstance(query, str):
        raise TypeError(f"query must be a str, not {type(query).__name__}")
    _check_options(options)
    sent = [_document(content, index) for index, content in enumerate(documents)]
    try:
        return pb.RerankRequest(query=query, documents=sent, **options)
    except UnicodeEncodeError:
        return pb.RerankRequest(query=_well_formed(query), documents=sent, **_well_formed_options(options))


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for an option with an unknown name or a wrong value. The error names the option."""
    known = pb.RerankRequest.DESCRIPTOR.fields_by_name
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "rerank.proto lists the fields of RerankRequest"
            raise ValueError(f"{name} is not an option: {hint}")
        if known[name].is_repeated and isinstance(value, str | bytes):
            raise TypeError(f"{name} must be a list of names, not one {type(value).__name__}")
        if known[name].is_repeated and isinstance(value, Iterator):  # the check below would leave nothing to send
            raise TypeError(f"{name} must be a list of names, not {type(value).__name__}, which can be read only once")
        try:
            pb.RerankRequest(**{name: value})
        except UnicodeEncodeError:  # a lone surrogate, which is replaced
            continue
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} is {value!r}: {error}") from error


def stream_header(query: str, options: Options, *, partial_scores: bool, partial_ok: bool) -> pb.RerankStreamRequest:
    """Return the first message of a stream. Errors are those of rerank_request."""
    request = rerank_request(query, (), options)
    header = pb.RerankHeader(request=request, partial_scores=partial_scores, partial_ok=partial_ok)
    return pb.RerankStreamRequest(header=header)


def document_chunks(documents: Iterable[Content]) -> Iterator[pb.RerankStreamRequest]:
    """Split documents into messages of at most 256 documents and 1 MB. A larger document gets its own message."""
    chunk: list[pb.Document] = []
    chunk_bytes = 0
    for index, content in enumerate(documents):
        document = _document(content, index)
        document_bytes = document.ByteSize()
        if chunk and (len(chunk) == _CHUNK_DOCUMENTS or chunk_bytes + document_bytes > _CHUNK_BYTES):
            yield _chunk(chunk)
            chunk, chunk_bytes = [], 0
        chunk.append(document)
        chunk_bytes += document_bytes
    if chunk:
        yield _chunk(chunk)


async def stream_messages(
    header: pb.RerankStreamRequest, documents: Iterable[Content] | AsyncIterable[Content]
) -> AsyncGenerator[pb.RerankStreamRequest]:
    """Yield the header, then the documents.

    Each document of an asynchronous source is a message of its own: it is sent at once, because the next document may
    take long to arrive.
    """
    yield header
    if isinstance(documents, AsyncIterable):
        index = 0
        async for content in documents:
            yield _chunk([_document(content, index)])
            index += 1
    else:
        for message in document_chunks(documents):
            yield message


def merge_response(ranking: pb.RerankResponse, response: pb.RerankStreamResponse, on_scores: OnScores | None) -> None:
    """Add a message of the server to the ranking, or pass its scores to `on_scores`."""
    if response.WhichOneof("part") == "ranking":
        ranking.MergeFrom(response.ranking)
    elif on_scores is not None:
        on_scores(response.scores)


def _document(content: Content, index: int) -> pb.Document:
    if isinstance(content, pb.Document):
        return content
    if not isinstance(content, str):
        hint = ": for an object, pass Document(json=json.dumps(…))" if isinstance(content, Mapping) else ""
        raise TypeError(f"documents[{index}] must be a str or a Document, not {type(content).__name__}{hint}")
    try:
        return pb.Document(text=content)
    except UnicodeEncodeError:
        return pb.Document(text=_well_formed(content))


def _well_formed(text: str) -> str:
    """Return a text with U+FFFD for each lone surrogate, which UTF-8 cannot have. Pairs become their character.

    `json.loads` returns such texts for JSON of JavaScript programs, which cut strings inside an emoji.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _well_formed_options(options: Options) -> dict[str, Any]:
    """Return the options with U+FFFD for the lone surrogates in their strings."""
    return {name: _well_formed_option(value) for name, value in options.items()}


def _well_formed_option(value: object) -> object:
    if isinstance(value, str):
        return _well_formed(value)
    return list(map(_well_formed, value)) if isinstance(value, list | tuple) else value


def _chunk(documents: Sequence[pb.Document]) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=documents))
