"""The methods of rerank.v1.Rerank."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.handlers import Call, Service
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.grpc.rerank_v1_requests import MessageReader, request_from
from rerank_service.api.grpc.rerank_v1_responses import (
    model_from,
    partials_from,
    response_from,
    stream_responses_from,
)
from rerank_service.errors import InvalidRequest
from rerank_service.long_work import in_thread
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.results import RankedDocument
from rerank_service.reranker import Reranker
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff

_SERVICE = pb.DESCRIPTOR.services_by_name["Rerank"]


class RerankMethods:
    """The methods of rerank.v1.Rerank."""

    def __init__(
        self,
        reranker: Reranker,
        registry: Registry,
        options: GrpcOptions,
        cutoff: Callable[[Deadline], Cutoff] = Cutoff,
    ) -> None:
        """`cutoff` makes the timer by which a stream with `partial_ok` gets its partial ranking."""
        self._cutoff = cutoff
        self._reranker = reranker
        self._registry = registry
        self._options = options

    @property
    def service(self) -> Service:
        """The service with all its methods."""
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
        """Rank the documents of one message."""
        caller = call.context.caller
        with caller.quota.request():
            message = await anext(call.messages)
            call.observation.documents = len(message.documents)
            request = request_from(message)
            observed = call.observation.ranking(request, self._reader(message))
            ranking = await self._reranker.rerank(
                request,
                message.documents,
                reader=observed.reader,
                deadline=call.context.deadline,
                caller=caller,
                on_work=observed.add_work,
            )
            observed.add_results(ranking)
        async with call.context.deadline.enforced():
            return await in_thread(partial(response_from, ranking, call.context.id), len(ranking))

    async def rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> None:
        """Rank documents that arrive in a stream. Send the ranking when all are scored.

        With `partial_scores`, also send the scores of each batch. With `partial_ok`, the ranking may be partial.
        """
        with call.context.caller.quota.request():
            await self._rerank_stream(call)

    async def _rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> None:
        deadline = call.context.deadline
        async with deadline.enforced():
            header = await _header(call.messages)

        async def send_partial(scored: Iterator[RankedDocument]) -> None:
            for message in partials_from(scored):
                await call.write(message)

        async def send_ranking(ranking: Ranking) -> None:
            observed.add_results(ranking)
            responses = stream_responses_from(ranking, call.context.id)
            while (message := await in_thread(partial(next, responses, None), len(ranking))) is not None:
                await call.write(message)

        request = request_from(header.request)
        observed = call.observation.ranking(request, self._reader(header.request))
        await self._reranker.rerank_stream(
            request,
            _chunks(header.request, call.messages),
            reader=observed.reader,
            deadline=deadline,
            deliver=send_ranking,
            caller=call.context.caller,
            on_scores=send_partial if header.partial_scores else None,
            cutoff=self._cutoff(deadline) if header.partial_ok else None,
            on_work=observed.add_work,
        )

    def _reader(self, request: pb.RerankRequest) -> MessageReader:
        return MessageReader(request, self._reranker.limits.max_document_chars)

    async def list_models(self, call: Call[pb.ListModelsRequest]) -> pb.ListModelsResponse:
        """List the models that the caller may use, loaded or not. The default model is first."""
        await anext(call.messages)
        infos = self._registry.infos()
        return pb.ListModelsResponse(
            models=[self._model(info) for info in infos if call.context.caller.may_use(info.names)]
        )

    async def get_model(self, call: Call[pb.GetModelRequest]) -> pb.Model:
        """Return one model by its name or an alias."""
        message = await anext(call.messages)
        model = self._registry.find(message.name)
        call.context.caller.check_model(self._registry.names_of(model))
        return self._model(model.info)

    def _model(self, info: ModelInfo) -> pb.Model:
        return model_from(info, self._reranker.limits, max_message_bytes=self._options.max_message_bytes)


async def _header(messages: AsyncIterator[pb.RerankStreamRequest]) -> pb.RerankHeader:
    first = await anext(messages, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidRequest("The first message of a stream must be the header.", field="header", reason="no_header")
    return first.header


async def _chunks(
    request: pb.RerankRequest, messages: AsyncIterator[pb.RerankStreamRequest]
) -> AsyncIterator[Sequence[pb.Document]]:
    """Yield the documents of a stream: those in the header, then those of each later message."""
    yield request.documents
    async for message in messages:
        if message.WhichOneof("part") != "documents":
            raise InvalidRequest(
                "Every message after the header must contain documents.", field="documents", reason="wrong_part"
            )
        yield message.documents.documents
