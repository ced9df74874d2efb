"""A typed client for rerank.v1: grpcio and protobuf, nothing else."""

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypedDict, Unpack

import grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"

Content = str | pb.Document
"""A document: plain text, or a message with an object, JSON or an id."""
OnScores = Callable[[pb.PartialScores], None]
"""Told scores ahead of a stream's final ranking."""

_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # stock clients refuse more than 4 MiB, which documents can exceed
    # a headless service's replicas in turn, but for those that drain
    (
        "grpc.service_config",
        '{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "rerank.v1.Rerank"}}',
    ),
]
_CHUNK = 256


class Options(TypedDict, total=False):
    """The optional fields of RerankRequest; rerank.proto says what each means."""

    model: str
    top_n: int | None
    return_documents: bool
    rank_fields: Sequence[str]
    max_tokens_per_doc: int | None
    score_type: pb.ScoreType.ValueType
    min_score: float | None
    priority: int


class RerankClient:
    """Calls a server from blocking code. Errors are `grpc.RpcError`, as rerank.proto lists them."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
    ) -> None:
        """Connect on the first call. `timeout` is each call's deadline in seconds; without one the server's
        default holds. With `credentials` the connection is TLS."""
        self._channel = (
            grpc.secure_channel(address, credentials, _CHANNEL_OPTIONS)
            if credentials
            else grpc.insecure_channel(address, _CHANNEL_OPTIONS)
        )
        self._stub = pb_grpc.RerankStub(self._channel)
        self._metadata = _metadata(api_key)
        self._timeout = timeout

    def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit a message (the server's default is up to 10,000 and 32 MiB)."""
        request = pb.RerankRequest(query=query, documents=map(_document, documents), **options)
        return self._stub.Rerank(request, metadata=self._metadata, timeout=self._timeout)

    def rerank_stream(
        self, query: str, documents: Iterable[Content], *, on_scores: OnScores | None = None, **options: Unpack[Options]
    ) -> pb.RerankResponse:
        """Rank any number of documents, sent as the server has room for them."""
        responses = self._stub.RerankStream(
            _messages(query, documents, options, partial=on_scores is not None),
            metadata=self._metadata,
            timeout=self._timeout,
        )
        ranking = pb.RerankResponse()
        for response in responses:
            _merge(ranking, response, on_scores)
        return ranking

    def models(self) -> Sequence[pb.Model]:
        """What is served, the default first."""
        return self._stub.ListModels(pb.ListModelsRequest(), metadata=self._metadata, timeout=self._timeout).models

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRerankClient:
    """Calls a server from asyncio. Errors are `grpc.aio.AioRpcError`, as rerank.proto lists them."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = None,
    ) -> None:
        """As RerankClient."""
        self._channel = (
            grpc.aio.secure_channel(address, credentials, _CHANNEL_OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(address, _CHANNEL_OPTIONS)
        )
        self._stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(self._channel)
        self._metadata = _metadata(api_key)
        self._timeout = timeout

    async def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """As RerankClient.rerank."""
        request = pb.RerankRequest(query=query, documents=map(_document, documents), **options)
        return await self._stub.Rerank(request, metadata=self._metadata, timeout=self._timeout)

    async def rerank_stream(
        self,
        query: str,
        documents: Iterable[Content] | AsyncIterable[Content],
        *,
        on_scores: OnScores | None = None,
        **options: Unpack[Options],
    ) -> pb.RerankResponse:
        """As RerankClient.rerank_stream; the documents may come from an asynchronous source."""
        partial = on_scores is not None
        messages: Iterator[pb.RerankStreamRequest] | AsyncIterator[pb.RerankStreamRequest] = (
            _messages_from_async(query, documents, options, partial=partial)
            if isinstance(documents, AsyncIterable)
            else _messages(query, documents, options, partial=partial)
        )
        ranking = pb.RerankResponse()
        async for response in self._stub.RerankStream(messages, metadata=self._metadata, timeout=self._timeout):
            _merge(ranking, response, on_scores)
        return ranking

    async def models(self) -> Sequence[pb.Model]:
        """As RerankClient.models."""
        listed = await self._stub.ListModels(pb.ListModelsRequest(), metadata=self._metadata, timeout=self._timeout)
        return listed.models

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()


def _document(content: Content) -> pb.Document:
    return content if isinstance(content, pb.Document) else pb.Document(text=content)


def _header(query: str, options: Options, *, partial: bool) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(
        header=pb.RerankHeader(request=pb.RerankRequest(query=query, **options), partial_scores=partial)
    )


def _chunk(documents: Iterable[Content]) -> pb.RerankStreamRequest:
    return pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=map(_document, documents)))


def _messages(
    query: str, documents: Iterable[Content], options: Options, *, partial: bool
) -> Iterator[pb.RerankStreamRequest]:
    yield _header(query, options, partial=partial)
    rest = iter(documents)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield _chunk(chunk)


async def _messages_from_async(
    query: str, documents: AsyncIterable[Content], options: Options, *, partial: bool
) -> AsyncIterator[pb.RerankStreamRequest]:
    """A message a document: what has come is sent at once, since the next one may be long in coming."""
    yield _header(query, options, partial=partial)
    async for content in documents:
        yield _chunk([content])


def _merge(ranking: pb.RerankResponse, response: pb.RerankStreamResponse, on_scores: OnScores | None) -> None:
    if response.WhichOneof("part") == "ranking":
        ranking.MergeFrom(response.ranking)
    elif on_scores is not None:
        on_scores(response.scores)
