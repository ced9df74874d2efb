"""Typed client for rerank.v1. It needs only grpcio and protobuf."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"

Content = str | pb.Document
"""A document: plain text, or a Document message with an object, JSON or an id."""
OnScores = Callable[[pb.PartialScores], None]
"""Callback that receives the scores that the server sends before the final ranking of a stream."""

_Call = grpc.aio.StreamStreamCall[pb.RerankStreamRequest, pb.RerankStreamResponse]

_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),  # the default limit is 4 MiB, and a response with documents can exceed it
    # send calls to all replicas of a headless service in turn, except replicas that are shutting down
    (
        "grpc.service_config",
        '{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "rerank.v1.Rerank"}}',
    ),
]
_LOOPBACK = re.compile(r"(dns:///|ipv[46]:)?(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")
_CHUNK_DOCUMENTS = 256
_CHUNK_BYTES = 1_000_000
_WRITE_ERRORS = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)


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
    score_type: pb.ScoreType.ValueType
    min_score: float | None
    priority: int
    instruction: str | None


class RerankClient:
    """Blocking client. Errors of a call are `grpc.RpcError` with a status that rerank.proto lists."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client that connects on its first call.

        Args:
            address: server, as `host:port` or as a gRPC target.
            api_key: key to send as `authorization: Bearer KEY`.
            credentials: TLS credentials. None: a connection without TLS.
            timeout: deadline of each call, in seconds. None: the default of the server (60 s unless configured).
            options: more gRPC channel options. They override the options of this client.
        """
        channel_options = _channel_options(address, options)
        self._channel = (
            grpc.secure_channel(address, credentials, channel_options)
            if credentials
            else grpc.insecure_channel(address, channel_options)
        )
        self._stub = pb_grpc.RerankStub(self._channel)
        self._metadata = _metadata(api_key)
        self._timeout = timeout

    def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message: by default at most 10,000 documents and 32 MiB."""
        request = _request(query, documents, options)
        return self._stub.Rerank(request, metadata=self._metadata, timeout=self._timeout)

    def rerank_stream(
        self,
        query: str,
        documents: Iterable[Content],
        *,
        on_scores: OnScores | None = None,
        partial_ok: bool = False,
        **options: Unpack[Options],
    ) -> pb.RerankResponse:
        """Rank any number of documents. The client sends them as fast as the server can take them.

        Set the client's `timeout` high enough for all documents. Without a timeout, the default of the server applies
        (60 s unless configured).

        Args:
            query: the query.
            documents: the documents. gRPC iterates over them in a separate thread. This method raises any exception
                that the iterator raises.
            on_scores: callback for scores that arrive before the final ranking.
            partial_ok: return a partial ranking instead of an error when time runs out. The response then sets
                `partial`, `unscored` and `received`.
            options: fields of RerankRequest.
        """
        _refuse_single(documents)
        header = _header(query, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        started = threading.Event()
        failures: list[BaseException] = []

        def messages() -> Iterator[pb.RerankStreamRequest]:
            try:
                yield header
                yield from _chunks(documents)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)
                started.wait()
                call.cancel()

        call = self._stub.RerankStream(messages(), metadata=self._metadata, timeout=self._timeout)
        started.set()
        ranking = pb.RerankResponse()
        try:
            for response in call:
                _merge(ranking, response, on_scores)
        except grpc.RpcError:
            if not failures:
                raise
        finally:
            call.cancel()  # needed if on_scores raised; has no effect on a finished call
        if failures:
            raise failures[0]
        return ranking

    def models(self) -> Sequence[pb.Model]:
        """Return the models that the server serves, the default model first."""
        return self._stub.ListModels(pb.ListModelsRequest(), metadata=self._metadata, timeout=self._timeout).models

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRerankClient:
    """Client for asyncio. Errors of a call are `grpc.aio.AioRpcError` with a status that rerank.proto lists."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client. The parameters are the same as those of RerankClient."""
        channel_options = _channel_options(address, options)
        self._channel = (
            grpc.aio.secure_channel(address, credentials, channel_options)
            if credentials
            else grpc.aio.insecure_channel(address, channel_options)
        )
        self._stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(self._channel)
        self._metadata = _metadata(api_key)
        self._timeout = timeout

    async def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message, like RerankClient.rerank."""
        request = _request(query, documents, options)
        return await self._stub.Rerank(request, metadata=self._metadata, timeout=self._timeout)

    async def rerank_stream(
        self,
        query: str,
        documents: Iterable[Content] | AsyncIterable[Content],
        *,
        on_scores: OnScores | None = None,
        partial_ok: bool = False,
        **options: Unpack[Options],
    ) -> pb.RerankResponse:
        """Rank any number of documents, like RerankClient.rerank_stream. `documents` may be asynchronous."""
        _refuse_single(documents)
        header = _header(query, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        ranking = pb.RerankResponse()
        try:
            async with asyncio.TaskGroup() as tasks:
                call = self._stub.RerankStream(metadata=self._metadata, timeout=self._timeout)
                writer = tasks.create_task(_write(call, _messages(header, documents)))
                _stop_at_end(call, writer)
                async with aclosing(_read(call)) as responses:
                    async for response in responses:
                        _merge(ranking, response, on_scores)
            return ranking
        except BaseExceptionGroup as group:
            error = group.exceptions[-1]  # an error from cancelling the writer comes before it
        raise error  # outside the except block, so that the error keeps its own context

    async def models(self) -> Sequence[pb.Model]:
        """Return the models that the server serves, the default model first."""
        listed = await self._stub.ListModels(pb.ListModelsRequest(), metadata=self._metadata, timeout=self._timeout)
        return listed.models

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()


def _channel_options(address: str, options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the options of this client, overridden by those of the caller.

    The proxy is off for loopback addresses: if http_proxy is set, gRPC would ask the proxy for the local machine.
    """
    direct = [("grpc.enable_http_proxy", 0)] if _LOOPBACK.fullmatch(address) else []
    # gRPC uses the first of two options with the same name, so each name is passed once
    return list(dict([*_CHANNEL_OPTIONS, *direct, *options]).items())


def _document(content: Content) -> pb.Document:
    if isinstance(content, pb.Document):
        return content
    if not isinstance(content, str):
        raise TypeError(f"a document must be a str or a Document, not {type(content).__name__}")
    return pb.Document(text=content)


def _refuse_single(documents: object) -> None:
    """Reject a single document. A string is iterable, and each letter would be ranked as a document."""
    if isinstance(documents, str | bytes | pb.Document):
        raise TypeError(f"documents must be several documents, not one {type(documents).__name__}: pass a list")


def _request(query: str, documents: Iterable[Content], options: Options) -> pb.RerankRequest:
    _refuse_single(documents)
    if not isinstance(query, str):
        raise TypeError(f"query must be a str, not {type(query).__name__}")
    return pb.RerankRequest(query=query, documents=map(_document, documents), **options)


def _header(query: str, options: Options, *, partial_scores: bool, partial_ok: bool) -> pb.RerankStreamRequest:
    request = _request(query, (), options)
    header = pb.RerankHeader(request=request, partial_scores=partial_scores, partial_ok=partial_ok)
    return pb.RerankStreamRequest(header=header)


def _chunk(documents: Sequence[pb.Document]) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=documents))


def _chunks(documents: Iterable[Content]) -> Iterator[pb.RerankStreamRequest]:
    """Split documents into messages, limited by number and by bytes. A larger document gets a message of its own."""
    chunk: list[pb.Document] = []
    chunk_bytes = 0
    for document in map(_document, documents):
        document_bytes = document.ByteSize()
        if chunk and (len(chunk) == _CHUNK_DOCUMENTS or chunk_bytes + document_bytes > _CHUNK_BYTES):
            yield _chunk(chunk)
            chunk, chunk_bytes = [], 0
        chunk.append(document)
        chunk_bytes += document_bytes
    if chunk:
        yield _chunk(chunk)


async def _messages(
    header: pb.RerankStreamRequest, documents: Iterable[Content] | AsyncIterable[Content]
) -> AsyncGenerator[pb.RerankStreamRequest]:
    """Yield the header, then the documents.

    Each document of an asynchronous source is a message of its own: it is sent at once, because the next document may
    take long to arrive.
    """
    yield header
    if isinstance(documents, AsyncIterable):
        async for content in documents:
            yield _chunk([_document(content)])
    else:
        for message in _chunks(documents):
            yield message


async def _write(call: _Call, messages: AsyncGenerator[pb.RerankStreamRequest]) -> None:
    """Write all messages, or stop when the call is over. A failed write raises nothing: the status has the reason."""
    try:
        async with aclosing(messages):
            async for message in messages:
                with suppress(*_WRITE_ERRORS):
                    await call.write(message)
                if call.done():
                    return
        with suppress(*_WRITE_ERRORS):
            await call.done_writing()
    except BaseException:
        call.cancel()  # otherwise the call would continue after a CancelledError of the source
        raise


def _stop_at_end(call: _Call, writer: asyncio.Task[None]) -> None:
    """Cancel the writer when the call ends.

    A write that fails after the end of a call would overwrite its status: github.com/grpc/grpc/issues/36066.
    """

    def stop(_: object) -> None:
        writer.cancel()

    call.add_done_callback(stop)


async def _read(call: _Call) -> AsyncGenerator[pb.RerankStreamResponse]:
    try:
        async for response in call:
            yield response
    finally:
        call.cancel()  # needed if on_scores raised; has no effect on a finished call


def _merge(ranking: pb.RerankResponse, response: pb.RerankStreamResponse, on_scores: OnScores | None) -> None:
    if response.WhichOneof("part") == "ranking":
        ranking.MergeFrom(response.ranking)
    elif on_scores is not None:
        on_scores(response.scores)
