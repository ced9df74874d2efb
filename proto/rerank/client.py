"""Typed clients for rerank.v1. They need only grpcio and protobuf; `local()` needs the server.

    RerankClient         blocking
    AsyncRerankClient    for asyncio, with the same methods

Errors of calls are those of rerank.errors.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, Unpack

import grpc

from rerank._address import DEFAULT_ADDRESS, Address
from rerank._async_client import AsyncRerankClient
from rerank._blocking_client import BlockingClient
from rerank._blocking_stream import CancellableCall, rank_stream, stream_responses
from rerank._channel import call_metadata, channel_arguments
from rerank._local import OWN_CONNECTION, Model, start_server, stop_with
from rerank._messages import Content, OnScores, Options, check_documents, rerank_request, stream_header
from rerank._retries import DEFAULT_RETRIES, RetryPolicy, call_blocking
from rerank._score_streams import AsyncScoreStream, ScoreStream
from rerank._tls import PemFile
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc

__all__ = [
    "DEFAULT_ADDRESS",
    "DEFAULT_RETRIES",
    "Address",
    "AsyncRerankClient",
    "AsyncScoreStream",
    "Content",
    "OnScores",
    "Options",
    "RerankClient",
    "ScoreStream",
]


class RerankClient(BlockingClient):
    """Blocking client. Threads may share one. Errors of a call are a `RerankError` of rerank.errors."""

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
        """Create a client that connects on its first call.

        Args:
            address: server, as `host:port`, as `grpcs://host:port` for TLS, or as a gRPC target. For replicas, a list
                of `IP:port`, or `dns:///host:port` for a name with several addresses: the calls go to the replicas in
                turn, except those that are down or shutting down.
            api_key: key to send as `authorization: Bearer KEY`.
            credentials: credentials of gRPC, for more than the next three parameters can express.
            tls_ca: PEM file of the authorities that may have issued the server's certificate. It switches TLS on.
                None: for `grpcs://`, the authorities that gRPC includes.
            tls_cert: PEM file of the client certificate, for servers that require one. It switches TLS on.
            tls_key: PEM file of the private key of `tls_cert`.
            timeout: time for each call, in seconds, including its repetitions. None: the default of the server (60 s
                unless configured) for each try.
            retries: maximum number of repetitions of a call that fails with `Unavailable` or `Overloaded`, or that the
                server cancels because it stops. The client pauses as long as the server asks for. A call whose time
                (60 s without `timeout`) would end during the pause fails at once. 0: no repetition.
            compress: compress requests with gzip, and ask for compressed responses. For slow networks.
            options: more gRPC channel options. They override the options of this client.

        Raises:
            TypeError, ValueError: an argument is wrong, or parameters of TLS contradict each other.
            OSError: a file of TLS cannot be read.
        """
        self._policy = RetryPolicy(retries, timeout)
        self._metadata = call_metadata(api_key, compress=compress)
        super().__init__(
            channel_arguments(
                address, options, credentials=credentials, tls=(tls_ca, tls_cert, tls_key), compress=compress
            )
        )
        self._stub = pb_grpc.RerankStub(self._channel)
        self._close_server: Callable[[], None] | None = None

    @classmethod
    def local(
        cls, model: Model | None = None, *, timeout: float | None = None, retries: int = 0, **settings: Any
    ) -> Self:
        """Load a model in this process, and return a client of it. No server and no port are needed.

        For notebooks and tests. It needs the packages of the server: the extra `[cpu]`, `[openvino]` or `[gpu]`.
        Results, limits and errors are those of a server. Each local client has its own copy of the model. `close()`,
        the end of a `with` block and the garbage collection of the client free its memory.

        Args:
            model: model to load: a bundle that `rerank export` wrote, or a hub folder. None: the starter model.
            timeout: as in RerankClient.
            retries: as in RerankClient.
            settings: settings of the server for models, engine, limits and cache, by their names in docs/settings.md,
                such as `precision="fp32"` or `lanes=2`. Variables of the environment (RERANK_…) are their defaults.

        Raises:
            ImportError: the packages of the server are not installed.
            rerank_service.errors.OperatorError: a setting is wrong, or the model cannot be loaded.
        """
        RetryPolicy(retries, timeout)  # a wrong value is an error before the model is loaded
        server = start_server(model, settings)
        client = cls(server.target, timeout=timeout, retries=retries, options=OWN_CONNECTION)
        client._close_server = stop_with(client, server)
        return client

    def rerank(self, query: str, documents: Iterable[Content], **options: Unpack[Options]) -> pb.RerankResponse:
        """Rank documents that fit into one message: by default at most 10,000 documents and 32 MiB.

        Raises:
            TypeError, ValueError: an argument has the wrong type, or an option has an unknown name.
            RerankError: the call failed; rerank.errors lists the reasons.
        """
        request = rerank_request(query, documents, options)
        return call_blocking(
            self._policy,
            lambda seconds: self._stub.Rerank(request, metadata=self._metadata, timeout=seconds),
            self._lifetime,
        )

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

        A failed call is repeated until its first scores have arrived. If `documents` is an iterator, such as a
        generator or a file, it is repeated only until the first document is read, because an iterator cannot start
        again. A list, and any other collection, is sent again from its beginning.

        Args:
            query: the query.
            documents: the documents. gRPC iterates over them in a separate thread. This method raises any exception
                that the iterator raises.
            on_scores: callback for scores that arrive before the final ranking.
            partial_ok: return a partial ranking instead of an error when time runs out. The response then sets
                `partial`, `unscored` and `received`.
            options: fields of RerankRequest.

        Raises:
            TypeError, ValueError: an argument has the wrong type, or an option has an unknown name.
            RerankError: the call failed; rerank.errors lists the reasons.
        """
        header = self._header(query, documents, options, partial_scores=on_scores is not None, partial_ok=partial_ok)
        return rank_stream(
            stream_responses(self._policy, self._start_stream, header, documents, self._lifetime), on_scores
        )

    def scores(
        self, query: str, documents: Iterable[Content], *, partial_ok: bool = False, **options: Unpack[Options]
    ) -> ScoreStream:
        """Return an iterator over the scores of any number of documents, each as soon as it is known.

            with client.scores(query, documents) as scores:
                for score in scores:
                    print(score.index, score.relevance_score)
            print(scores.ranking.results[0])

        Documents are read while scores are returned. The arguments and errors are those of `rerank_stream`. Errors of
        the call and of `documents` are raised by the iterator.
        """
        call = CancellableCall(self._start_stream)
        header = self._header(query, documents, options, partial_scores=True, partial_ok=partial_ok)
        responses = stream_responses(self._policy, call, header, documents, self._lifetime, call.is_cancelled)
        return ScoreStream(responses, call.cancel)

    def models(self) -> Sequence[pb.Model]:
        """Return the models that the server serves, the default model first.

        Raises:
            RerankError: the call failed.
        """
        request = pb.ListModelsRequest()
        return call_blocking(
            self._policy,
            lambda seconds: self._stub.ListModels(request, metadata=self._metadata, timeout=seconds),
            self._lifetime,
        ).models

    def close(self) -> None:
        """Close the connection. Calls of other threads, and later calls, end with `Cancelled`. A local client frees its
        model."""
        super().close()
        if self._close_server is not None:
            self._close_server()

    def _header(
        self, query: str, documents: Iterable[Content], options: Options, *, partial_scores: bool, partial_ok: bool
    ) -> pb.RerankStreamRequest:
        check_documents(documents)
        return stream_header(query, options, partial_scores=partial_scores, partial_ok=partial_ok)

    def _start_stream(self, messages: Iterator[pb.RerankStreamRequest], timeout: float | None) -> Any:
        # streams refer to this method, and so to the client: a local one must not be collected before its last score
        return self._stub.RerankStream(messages, metadata=self._metadata, timeout=timeout)
