"""The gRPC services of text-embeddings-inference (TEI): tei.v1.Rerank and tei.v1.Info.

Source: TEI, router/src/grpc/server.rs. docs/decisions/0014-teis-messages.md lists the differences.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

import rerank_service
from rerank.tei import tei_pb2 as pb
from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.grpc.handlers import Call, Service
from rerank_service.api.grpc.tei_v1_response import response_from
from rerank_service.api.grpc.tei_v1_stream import StreamReader, TextStream, read_ahead, request_from
from rerank_service.api.ranking_headers import ranking_headers
from rerank_service.api.request_id import REQUEST_ID
from rerank_service.api.tei_metadata import cost_headers, dtype
from rerank_service.api.text_reader import TextReader
from rerank_service.engine.host import usable_cores
from rerank_service.errors import RequestError
from rerank_service.models.registry import Registry
from rerank_service.ranking.ranking import Ranking
from rerank_service.reranker import Reranker

_SERVICES = pb.DESCRIPTOR.services_by_name
_CODES = {grpc.StatusCode.INTERNAL: grpc.StatusCode.FAILED_PRECONDITION}
"""TEI reports a failure of the model as FAILED_PRECONDITION."""


class TeiMethods:
    """The methods of tei.v1.Rerank and tei.v1.Info."""

    def __init__(self, reranker: Reranker, registry: Registry) -> None:
        self._reranker = reranker
        self._registry = registry

    @property
    def services(self) -> list[Service]:
        """Both services with their methods."""
        return [
            Service(_SERVICES["Rerank"], {"Rerank": self.rerank, "RerankStream": self.rerank_stream}, _CODES),
            Service(_SERVICES["Info"], {"Info": self.info}, _CODES),
        ]

    async def info(self, call: Call[pb.InfoRequest]) -> pb.InfoResponse:
        """Return the served model and the limits of the server."""
        await anext(call.messages)
        registered, limits = self._registry.find(""), self._reranker.limits
        call.context.caller.check_model(self._registry.names_of(registered))
        model = registered.info
        return pb.InfoResponse(
            version=rerank_service.__version__,
            model_id=model.name,
            model_sha=model.revision or None,
            model_dtype=dtype(model.precision),
            model_type=pb.MODEL_TYPE_RERANKER,
            max_concurrent_requests=limits.max_documents,
            max_input_length=model.max_tokens,
            max_batch_tokens=model.max_batch_tokens,
            max_client_batch_size=limits.max_documents,
            tokenization_workers=usable_cores(),
        )

    async def rerank(self, call: Call[pb.RerankRequest]) -> pb.RerankResponse:
        """Rank the texts of one message."""
        message = await anext(call.messages)
        call.observation.documents = len(message.texts)
        with call.context.caller.quota.request(), _texts_in_errors():
            request = request_from(message)
            observed = call.observation.ranking(request, TextReader())
            ranking = await self._reranker.rerank(
                request,
                message.texts,
                reader=observed.reader,
                deadline=call.context.deadline,
                caller=call.context.caller,
                on_work=observed.add_work,
            )
        observed.add_results(ranking)
        chars = len(message.texts) * len(message.query) + sum(map(len, message.texts))
        async with call.context.deadline.enforced():
            return await _response(call, ranking, chars)

    async def rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> pb.RerankResponse:
        """Rank texts that arrive in a stream, one per message."""
        with call.context.caller.quota.request():
            return await self._rerank_stream(call)

    async def _rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> pb.RerankResponse:
        deadline, responses = call.context.deadline, list[pb.RerankResponse]()

        async def deliver(ranking: Ranking) -> None:
            observed.add_results(ranking)
            responses.append(await _response(call, ranking, stream.chars))

        async with read_ahead(call.messages, self._reranker.limits) as messages:
            stream = TextStream(messages, self._reranker.limits)
            async with deadline.enforced():
                await stream.begin()
            request = request_from(stream.first)
            observed = call.observation.ranking(request, StreamReader(stream.first))
            with _texts_in_errors():
                await self._reranker.rerank_stream(
                    request,
                    stream,
                    reader=observed.reader,
                    deadline=deadline,
                    deliver=deliver,
                    caller=call.context.caller,
                    on_work=observed.add_work,
                )
        return responses[0]


async def _response(
    call: Call[pb.RerankRequest] | Call[pb.RerankStreamRequest], ranking: Ranking, chars: int
) -> pb.RerankResponse:
    """Send the cost of the call, the headers of the ranking and the request id as initial metadata, and return the
    response.

    `chars` is the number of characters of all queries and texts.
    """
    headers = ranking_headers(score_type=ranking.score_type, query_truncated=ranking.query_truncated)
    cost = cost_headers(chars, ranking.usage.prompt_tokens, ranking.timing)
    await call.send_metadata({**cost, **headers, REQUEST_ID: call.context.id})
    return await response_from(ranking, chars)


@contextmanager
def _texts_in_errors() -> Iterator[None]:
    """Let the errors of the block name TEI's field `texts`."""
    try:
        yield
    except RequestError as error:
        message, error.field = with_field_names(error, FieldNames(documents="texts"))
        error.args = (message,)
        raise
