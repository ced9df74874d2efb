"""The gRPC edge: rerank.v1.Rerank beside any other services, grpc.health.v1 and reflection on one port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.address import address, bound
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.handlers import Call, Service
from rerank_service.api.grpc.messages import (
    MessageReader,
    model_from,
    partials_from,
    request_from,
    response_from,
    stream_responses_from,
)
from rerank_service.errors import InvalidRequest
from rerank_service.models.registry import ModelInfo, Registry
from rerank_service.ranking.ranking import RankedDocument, Ranking
from rerank_service.reranker import Reranker
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff

_SERVICE = pb.DESCRIPTOR.services_by_name["Rerank"]
_MANY = 100_000
READINESS = _SERVICE.full_name
"""The health service by which a probe asks for readiness. The empty name and the other services follow it, too."""
LIVENESS = "live"
"""The health service that says only that the process lives, so that a draining pod is not killed."""


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the edge listens."""

    host: str = "127.0.0.1"
    port: int = 0
    max_message_bytes: int = 32 * 1024 * 1024
    default_timeout: float = 60.0
    max_connection_age: float | None = None
    """Seconds."""


class RerankMethods:
    """The methods of rerank.v1.Rerank."""

    def __init__(
        self,
        reranker: Reranker,
        registry: Registry,
        options: GrpcOptions,
        cutoff: Callable[[Deadline], Cutoff] = Cutoff,
    ) -> None:
        """`cutoff` says when a stream that takes a part of its ranking gets it."""
        self._cutoff = cutoff
        self._reranker = reranker
        self._registry = registry
        self._options = options

    @property
    def service(self) -> Service:
        """All of them."""
        return Service(
            _SERVICE,
            {
                "Rerank": self.rerank,
                "RerankStream": self.rerank_stream,
                "ListModels": self.list_models,
                "GetModel": self.get_model,
            },
        )

    async def rerank(self, call: Call[pb.RerankRequest]) -> pb.RerankResponse:
        """Rerank."""
        message = await anext(call.messages)
        ranking = await self._reranker.rerank(
            request_from(message),
            message.documents,
            reader=MessageReader(message),
            deadline=self._deadline(call.timeout),
            weight=call.caller.weight,
        )
        return response_from(ranking, call.id)

    async def rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> None:
        """RerankStream."""
        deadline = self._deadline(call.timeout)
        async with deadline.enforced():
            header = await _header(call.messages)

        async def send_partial(scored: Iterator[RankedDocument]) -> None:
            for message in partials_from(scored):
                await call.write(message)

        async def send_ranking(ranking: Ranking) -> None:
            for message in stream_responses_from(ranking, call.id):
                await call.write(message)

        await self._reranker.rerank_stream(
            request_from(header.request),
            _chunks(header.request, call.messages),
            reader=MessageReader(header.request),
            deadline=deadline,
            deliver=send_ranking,
            weight=call.caller.weight,
            on_scores=send_partial if header.partial_scores else None,
            cutoff=self._cutoff(deadline) if header.partial_ok else None,
        )

    async def list_models(self, call: Call[pb.ListModelsRequest]) -> pb.ListModelsResponse:
        """ListModels."""
        await anext(call.messages)
        return pb.ListModelsResponse(models=[self._model(model.info) for model in self._registry.models()])

    async def get_model(self, call: Call[pb.GetModelRequest]) -> pb.Model:
        """GetModel."""
        message = await anext(call.messages)
        return self._model(self._registry.get(message.name).info)

    def _deadline(self, remaining: float | None) -> Deadline:
        return Deadline.after(self._options.default_timeout if remaining is None else remaining)

    def _model(self, info: ModelInfo) -> pb.Model:
        limits = self._reranker.limits
        return model_from(
            info,
            max_documents=limits.max_documents,
            max_stream_documents=limits.max_stream_documents,
            max_message_bytes=self._options.max_message_bytes,
        )


async def _header(messages: AsyncIterator[pb.RerankStreamRequest]) -> pb.RerankHeader:
    first = await anext(messages, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidRequest("the first message of a stream must be its header", field="header", reason="no_header")
    return first.header


async def _chunks(
    request: pb.RerankRequest, messages: AsyncIterator[pb.RerankStreamRequest]
) -> AsyncIterator[Sequence[pb.Document]]:
    """The documents of a stream: the header's own, then those of each later message."""
    yield request.documents
    async for message in messages:
        if message.WhichOneof("part") != "documents":
            raise InvalidRequest(
                "messages after a stream's header must hold documents", field="documents", reason="wrong_part"
            )
        yield message.documents.documents


class GrpcEdge:
    """The running server."""

    def __init__(
        self, server: grpc.aio.Server, port: int, checks: health.aio.HealthServicer, services: Sequence[str]
    ) -> None:
        """`services` are ready or not as the server is."""
        self._server = server
        self._checks = checks
        self._services = services
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more calls, and end when those that are here have ended, or the grace has. Can be called again,
        with less."""
        # core may wait longer, for a client that does not read the end of its connection
        with suppress(TimeoutError):
            await asyncio.wait_for(self._server.stop(grace), grace + 1.0)

    async def set_ready(self, *, ready: bool) -> None:
        """Tell whoever asks for health whether requests should come here."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._checks.set(name, status)


def _channel_arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a lottery
        # beyond these, a thousand by default, core cancels calls without a word; refusing is admission's
        ("grpc.server.max_pending_requests", _MANY),
        ("grpc.server.max_pending_requests_hard_limit", _MANY),
    ]
    if options.max_connection_age is not None:
        arguments.append(("grpc.max_connection_age_ms", round(options.max_connection_age * 1000)))
    return arguments


def _described(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Files of whichever pools in one, with what they import; it keeps one of each name."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)

    for file in files:
        add(file)
    return pool


@asynccontextmanager
async def listening(services: Sequence[Service], keys: Keys, options: GrpcOptions) -> AsyncIterator[GrpcEdge]:
    """Listen while the block runs: alive from the start, ready when told so. On leaving, calls
    that still run are cancelled.

    Raises:
        OSError: the address is taken.
    """
    # grpc writes the reason to stderr in its own form, and raises an error without it
    bound(options.host, options.port, flag="--grpc-port").close()
    server = grpc.aio.server(options=_channel_arguments(options))
    server.add_generic_rpc_handlers(tuple(service.handler(keys) for service in services))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = [service.descriptor.full_name for service in services]
    files = [*(service.descriptor.file for service in services), health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server, pool=_described(files)
    )
    try:
        port = server.add_insecure_port(address(options.host, options.port))
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {address(options.host, options.port)}: {error}; choose another with --grpc-port"
        ) from error
    await server.start()
    edge = GrpcEdge(server, port, checks, names)
    await edge.set_ready(ready=False)
    await checks.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield edge
    finally:
        await edge.stop(1.0)  # calls that end get a moment to say so; who was stopped already is not stopped again
