"""The gRPC edge for callers with text-embeddings-inference's stubs: tei.v1.Rerank and tei.v1.Info.

What TEI does (its router/src/grpc/server.rs) is done here, but for what docs/decisions/0014 names.
"""

import asyncio
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

import rerank_service
from rerank.tei import tei_pb2 as pb
from rerank_service.api.grpc.handlers import Call, Service
from rerank_service.api.grpc.tei_v1_stream import Runs, read_ahead, request_from
from rerank_service.api.tei_metadata import cost_headers, dtype
from rerank_service.api.text_reader import TextReader
from rerank_service.engine.host import usable_cores
from rerank_service.errors import RequestError
from rerank_service.models.registry import Registry
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.results import Timing
from rerank_service.reranker import Reranker

_SERVICES = pb.DESCRIPTOR.services_by_name
_CODES = {grpc.StatusCode.INTERNAL: grpc.StatusCode.FAILED_PRECONDITION}
"""A model that fails is FAILED_PRECONDITION there."""
_AT_ONCE = 1_000
"""Ranks made before other requests get a turn."""
_UINT32 = 2**32 - 1


class TeiMethods:
    """The methods of tei.v1.Rerank and tei.v1.Info."""

    def __init__(self, reranker: Reranker, registry: Registry) -> None:
        self._reranker = reranker
        self._registry = registry

    @property
    def services(self) -> list[Service]:
        """Both."""
        return [
            Service(_SERVICES["Rerank"], {"Rerank": self.rerank, "RerankStream": self.rerank_stream}, _CODES),
            Service(_SERVICES["Info"], {"Info": self.info}, _CODES),
        ]

    async def info(self, call: Call[pb.InfoRequest]) -> pb.InfoResponse:
        """Info."""
        await anext(call.messages)
        model, limits = self._registry.get(""), self._reranker.limits
        return pb.InfoResponse(
            version=rerank_service.__version__,
            model_id=model.info.name,
            model_sha=model.info.revision or None,
            model_dtype=dtype(model.info.precision),
            model_type=pb.MODEL_TYPE_RERANKER,
            max_concurrent_requests=limits.max_documents,
            max_input_length=model.info.max_tokens,
            max_batch_tokens=model.info.max_batch_tokens,
            max_client_batch_size=limits.max_documents,
            tokenization_workers=usable_cores(),
        )

    async def rerank(self, call: Call[pb.RerankRequest]) -> pb.RerankResponse:
        """Rerank."""
        message = await anext(call.messages)
        answer = _Answer()
        with _in_their_words():
            ranking = await self._reranker.rerank(
                request_from(message, message),
                message.texts,
                reader=TextReader(),
                deadline=call.context.deadline,
                weight=call.context.caller.weight,
            )
        await answer.add(ranking)
        chars = len(message.texts) * len(message.query) + sum(map(len, message.texts))
        return await answer.sent(call, chars)

    async def rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> pb.RerankResponse:
        """RerankStream."""
        deadline = call.context.deadline
        limits, answer = self._reranker.limits, _Answer()
        async with read_ahead(call.messages, limits) as messages:
            runs = Runs(messages, limits)
            async with deadline.enforced():
                await runs.begin()
            async for request, texts in runs:
                with _in_their_words(answer.texts):
                    await self._reranker.rerank_stream(
                        request,
                        texts,
                        reader=TextReader(),
                        deadline=deadline,
                        deliver=answer.add,
                        weight=call.context.caller.weight,
                    )
        return await answer.sent(call, runs.chars)


class _Answer:
    """The response, as the rankings of its runs come in."""

    def __init__(self) -> None:
        self._response = pb.RerankResponse()
        self._logits = array("d")
        self._ordered = True
        self._tokens = 0
        self._timing = Timing(queue=0.0, tokenize=0.0, inference=0.0, total=0.0)

    @property
    def texts(self) -> int:
        """Of the runs so far, all of which are ranked."""
        return len(self._logits)

    async def add(self, ranking: Ranking) -> None:
        """Take in the ranking of the next run."""
        start = self.texts
        self._logits.extend([0.0] * ranking.documents)
        for at, one in enumerate(ranking, 1):
            self._response.ranks.add(index=start + one.index, text=one.document, score=one.relevance_score)
            self._logits[start + one.index] = one.logit
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._ordered = not start
        self._tokens += ranking.usage.prompt_tokens
        self._timing = _sum(self._timing, ranking.timing)

    async def sent(self, call: Call[Any], chars: int) -> pb.RerankResponse:
        """The whole, once its metadata has gone ahead."""
        timing = self._timing
        await call.send_metadata(cost_headers(chars, self._tokens, timing))
        if not self._ordered:  # by logit, as scores may be equal where logits are not
            self._response.ranks.sort(key=lambda rank: (-self._logits[rank.index], rank.index))
        metadata = self._response.metadata
        metadata.compute_chars = min(chars, _UINT32)
        metadata.compute_tokens = min(self._tokens, _UINT32)
        metadata.total_time_ns = _nanoseconds(timing.total)
        metadata.tokenization_time_ns = _nanoseconds(timing.tokenize)
        metadata.queue_time_ns = _nanoseconds(timing.queue)
        metadata.inference_time_ns = _nanoseconds(timing.inference)
        return self._response


def _sum(one: Timing, other: Timing) -> Timing:
    return Timing(
        queue=one.queue + other.queue,
        tokenize=one.tokenize + other.tokenize,
        inference=one.inference + other.inference,
        total=one.total + other.total,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


_DOCUMENTS = re.compile(r"\bdocuments\b(?:\[(\d+)\])?")


@contextmanager
def _in_their_words(start: int = 0) -> Iterator[None]:
    """Errors of the block speak of `texts`, and number them as the caller does, who sent others before these."""

    def word(found: re.Match[str]) -> str:
        return "texts" if found[1] is None else f"texts[{start + int(found[1])}]"

    try:
        yield
    except RequestError as error:
        error.args = (_DOCUMENTS.sub(word, str(error)),)
        error.field = error.field and _DOCUMENTS.sub(word, error.field)
        raise
