"""Typed client for rerank.v1. It needs only grpcio and protobuf."""

from collections.abc import AsyncIterable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from rerank import _async_stream, _blocking_stream
from rerank._blocking_channel import BlockingClient, blocking_channel
from rerank._channel import call_metadata, channel_options
from rerank._messages import Content, OnScores, Options, reject_single, rerank_request, stream_header
from rerank._tls import PemFile, channel_credentials, channel_target
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc

__all__ = ["DEFAULT_ADDRESS", "AsyncRerankClient", "Content", "OnScores", "Options", "RerankClient"]

DEFAULT_ADDRESS = "127.0.0.1:50051"


class RerankClient(BlockingClient):
    """Blocking client. Errors of a call are `grpc.RpcError` with a status that rerank.proto lists."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        tls_ca: PemFile | None = None,
        tls_cert: PemFile | None = None,
        tls_key: PemFile | None = None,
        timeout: float | None = None,
        compress: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client that connects on its first call.

        Args:
            address: server, as `host:port`, as `grpcs://host:port` for TLS, or as a gRPC target.
            api_key: key to send as `authorization: Bearer KEY`.
            credentials: credentials of gRPC, for more than the next three parameters can express.
            tls_ca: PEM file of the authorities that may have issued the server's certificate. It switches TLS on.
                None: for `grpcs://`, the authorities that gRPC includes.
            tls_cert: PEM file of the client certificate, for servers that require one. It switches TLS on.
            tls_key: PEM file of the private key of `tls_cert`.
            timeout: deadline of each call, in seconds. None: the default of the server (60 s unless configured).
            compress: compress requests with gzip, and ask for compressed responses. For slow networks.
            options: more gRPC channel options. They override the options of this client.

        Raises:
            ValueError: parameters of TLS contradict each other.
            OSError: a file of TLS cannot be read.
        """
        self._channel = blocking_channel(
            address,
            options,
            credentials=credentials,
            tls=(tls_ca, tls_cert, tls_key),
            compression=grpc.Compression.Gzip if compress else None,
        )
        self._stub = pb_grpc.RerankStub(self._channel)
        self._metadata = call_metadata(api_key, compress=compress)
        self._timeout = timeout

    def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message: by default at most 10,000 documents and 32 MiB."""
        request = rerank_request(query, documents, options)
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
        reject_single(documents)
        header = stream_header(query, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        start_call = partial(self._stub.RerankStream, metadata=self._metadata, timeout=self._timeout)
        return _blocking_stream.rank_stream(start_call, header, documents, on_scores)

    def models(self) -> Sequence[pb.Model]:
        """Return the models that the server serves, the default model first."""
        return self._stub.ListModels(pb.ListModelsRequest(), metadata=self._metadata, timeout=self._timeout).models


class AsyncRerankClient:
    """Client for asyncio. Errors of a call are `grpc.aio.AioRpcError` with a status that rerank.proto lists."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        tls_ca: PemFile | None = None,
        tls_cert: PemFile | None = None,
        tls_key: PemFile | None = None,
        timeout: float | None = None,
        compress: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client. The parameters are the same as those of RerankClient."""
        target = channel_target(address)
        all_options = channel_options(target, options)
        compression = grpc.Compression.Gzip if compress else None
        tls = channel_credentials(address, credentials, ca=tls_ca, cert=tls_cert, key=tls_key)
        self._channel = (
            grpc.aio.secure_channel(target, tls, all_options, compression)
            if tls
            else grpc.aio.insecure_channel(target, all_options, compression)
        )
        self._stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(self._channel)
        self._metadata = call_metadata(api_key, compress=compress)
        self._timeout = timeout

    async def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message, like RerankClient.rerank."""
        request = rerank_request(query, documents, options)
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
        reject_single(documents)
        header = stream_header(query, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        start_call = partial(self._stub.RerankStream, metadata=self._metadata, timeout=self._timeout)
        return await _async_stream.rank_stream(start_call, header, documents, on_scores)

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
