"""The client for asyncio. Private: import from rerank.client."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from rerank._address import DEFAULT_ADDRESS, Address
from rerank._async_stream import CancellableCall, Documents, rank_stream, stream_responses
from rerank._channel import call_metadata, channel_arguments
from rerank._lifetime import AsyncLifetime
from rerank._local import OWN_CONNECTION, Model, start_server_in_thread, stop_with
from rerank._messages import Content, OnScores, Options, check_documents, rerank_request, stream_header
from rerank._retries import DEFAULT_RETRIES, RetryPolicy, call_async
from rerank._score_streams import AsyncScoreStream
from rerank._tls import PemFile
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc


class AsyncRerankClient:
    """Client for asyncio, for one event loop. Errors of a call are a `RerankError` of rerank.errors."""

    def __init__(
        self,
        address: Address = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        tls_ca: PemFile | None = None,
        tls_cert: PemFile | None = None,
        tls_key: PemFile | None = None,
        timeout: float | None = None,
        retries: int = DEFAULT_RETRIES,
        compress: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client. The parameters are the same as those of RerankClient."""
        self._policy = RetryPolicy(retries, timeout)
        self._metadata = call_metadata(api_key, compress=compress)
        target, secure, all_options, compression = channel_arguments(
            address, options, credentials=credentials, tls=(tls_ca, tls_cert, tls_key), compress=compress
        )
        self._channel = (
            grpc.aio.secure_channel(target, secure, all_options, compression)
            if secure
            else grpc.aio.insecure_channel(target, all_options, compression)
        )
        self._stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(self._channel)
        self._lifetime = AsyncLifetime()
        self._close_server: Callable[[], None] | None = None

    @classmethod
    async def local(
        cls,
        model: Model | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of later calls
        retries: int = 0,
        **settings: Any,
    ) -> Self:
        """Load a model in this process, and return a client of it, like RerankClient.local.

        async with await AsyncRerankClient.local() as client:
            response = await client.rerank(query, documents)
        """
        RetryPolicy(retries, timeout)  # a wrong value is an error before the model is loaded
        server = await start_server_in_thread(model, settings)
        client = cls(server.target, timeout=timeout, retries=retries, options=OWN_CONNECTION)
        client._close_server = stop_with(client, server)
        return client

    async def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message, like RerankClient.rerank."""
        request = rerank_request(query, documents, options)
        return await call_async(
            self._policy,
            lambda seconds: self._stub.Rerank(request, metadata=self._metadata, timeout=seconds),
            self._lifetime,
        )

    async def rerank_stream(
        self,
        query: str,
        documents: Documents,
        *,
        on_scores: OnScores | None = None,
        partial_ok: bool = False,
        **options: Unpack[Options],
    ) -> pb.RerankResponse:
        """Rank any number of documents, like RerankClient.rerank_stream. `documents` may be asynchronous."""
        if iscoroutinefunction(on_scores):
            raise TypeError(
                "on_scores is a coroutine function: give a plain function, or use `async for` with scores()"
            )
        header = self._header(query, documents, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        return await rank_stream(
            stream_responses(self._policy, self._start_stream, header, documents, self._lifetime), on_scores
        )

    def scores(
        self,
        query: str,
        documents: Documents,
        *,
        partial_ok: bool = False,
        **options: Unpack[Options],
    ) -> AsyncScoreStream:
        """Return an asynchronous iterator over scores, like RerankClient.scores. `documents` may be asynchronous.

        async with client.scores(query, documents) as scores:
            async for score in scores:
                print(score.index, score.relevance_score)
        print(scores.ranking.results[0])
        """
        header = self._header(query, documents, options, partial_scores=True, partial_ok=partial_ok)
        lifetime = self._lifetime.part()
        call = CancellableCall(self._start_stream, lifetime)
        return AsyncScoreStream(stream_responses(self._policy, call, header, documents, lifetime), call.cancel)

    async def models(self) -> Sequence[pb.Model]:
        """Return the models that the server serves, the default model first."""
        request = pb.ListModelsRequest()
        listed = await call_async(
            self._policy,
            lambda seconds: self._stub.ListModels(request, metadata=self._metadata, timeout=seconds),
            self._lifetime,
        )
        return listed.models

    async def close(self) -> None:
        """Close the connection. Running and later calls end with `Cancelled`. A local client frees its model."""
        self._lifetime.close()
        await self._channel.close()
        if self._close_server is not None:
            await asyncio.to_thread(self._close_server)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _header(
        self, query: str, documents: Documents, options: Options, *, partial_scores: bool, partial_ok: bool
    ) -> pb.RerankStreamRequest:
        check_documents(documents, asynchronous=True)
        return stream_header(query, options, partial_scores=partial_scores, partial_ok=partial_ok)

    def _start_stream(self, timeout: float | None) -> Any:
        # streams refer to this method, and so to the client: a local one must not be collected before its last score
        return self._stub.RerankStream(metadata=self._metadata, timeout=timeout)
