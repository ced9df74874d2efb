"""Valid gRPC requests of rerank.v1 and tei.v1, and their answers as JSON."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from torture.equivalence import texts

_OPTION_SHARE = 0.3
_CHUNK = 5

Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class GrpcRequest:
    """A call: one message, or those of a stream."""

    method: str
    """One of METHODS."""
    messages: tuple[Message, ...]

    async def answer(self, channel: grpc.aio.Channel, *, seconds: float, metadata: Metadata) -> dict[str, Any]:
        """Call the method, and return its answer as JSON.

        Raises:
            grpc.aio.AioRpcError: the call failed.
        """
        options: dict[str, Any] = {"timeout": seconds, "metadata": metadata}
        if self.method == "rerank.v1 RerankStream":
            call = pb_grpc.RerankStub(channel).RerankStream(self._stream(), **options)  # type: ignore[arg-type]
            return _whole([message async for message in call])
        if self.method == "rerank.v1 Rerank":
            return _as_json(await pb_grpc.RerankStub(channel).Rerank(self.messages[0], **options))  # type: ignore[arg-type]
        forms = {
            "request_serializer": lambda message: message.SerializeToString(),
            "response_deserializer": tei_pb2.RerankResponse.FromString,
        }
        if self.method == "tei.v1 Rerank":
            return _as_json(await channel.unary_unary("/tei.v1.Rerank/Rerank", **forms)(self.messages[0], **options))
        streamed = channel.stream_unary("/tei.v1.Rerank/RerankStream", **forms)
        return _as_json(await streamed(self._stream(), **options))

    async def _stream(self) -> AsyncIterator[Message]:
        for message in self.messages:
            yield message


def grpc_request(generator: random.Random) -> GrpcRequest:
    """Return a valid request of any method that ranks."""
    method = generator.choice(METHODS)
    return GrpcRequest(method, _MESSAGES[method](generator))


def _rerank(generator: random.Random) -> tuple[Message, ...]:
    request = _without_documents(generator)
    request.documents.extend(_documents(generator))
    return (request,)


def _without_documents(generator: random.Random) -> pb.RerankRequest:
    request = pb.RerankRequest(query=texts.query(generator), priority=generator.randint(-3, 3))
    options = {
        "top_n": generator.randint(0, 10),
        "return_documents": True,
        "score_type": generator.choice((pb.SCORE_TYPE_RAW, pb.SCORE_TYPE_SIGMOID)),
        "min_score": generator.choice((0.0, 0.5)),
        "max_tokens_per_doc": generator.choice((8, 20, 64)),
        "max_chunks_per_doc": generator.randint(1, 3),
        "overlap_tokens": generator.randint(0, 8),
        "window_score": generator.choice((pb.WINDOW_SCORE_BEST, pb.WINDOW_SCORE_BEST_TWO)),
        "too_long": generator.choice((pb.TOO_LONG_CUT, pb.TOO_LONG_WINDOWS)),
        "cut_side": generator.choice((pb.CUT_SIDE_LEFT, pb.CUT_SIDE_RIGHT)),
    }
    for name, value in options.items():
        if generator.random() < _OPTION_SHARE:
            setattr(request, name, value)
    if generator.random() < _OPTION_SHARE:
        request.highlights, request.top_n = generator.randint(1, 3), 5
    return request


def _documents(generator: random.Random) -> list[pb.Document]:
    return [pb.Document(text=text, id=f"d{place}") for place, text in enumerate(texts.documents(generator))]


def _rerank_stream(generator: random.Random) -> tuple[Message, ...]:
    header = pb.RerankHeader(request=_without_documents(generator), partial_scores=generator.random() < 0.5)
    found = _documents(generator)
    chunks = [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)]
    return (
        pb.RerankStreamRequest(header=header),
        *(pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=chunk)) for chunk in chunks),
    )


def _tei_rerank(generator: random.Random) -> tuple[Message, ...]:
    request = tei_pb2.RerankRequest(
        query=texts.query(generator),
        texts=texts.documents(generator),
        truncate=True,
        raw_scores=generator.random() < 0.5,
        return_text=generator.random() < 0.5,
    )
    return (request,)


def _tei_stream(generator: random.Random) -> tuple[Message, ...]:
    query, is_same = texts.query(generator), generator.random() < 0.5
    return tuple(
        tei_pb2.RerankStreamRequest(query=query if is_same else texts.query(generator), text=text, truncate=True)
        for text in texts.documents(generator, most=12)
    )


_MESSAGES = {
    "rerank.v1 Rerank": _rerank,
    "rerank.v1 RerankStream": _rerank_stream,
    "tei.v1 Rerank": _tei_rerank,
    "tei.v1 RerankStream": _tei_stream,
}
METHODS = tuple(_MESSAGES)


def _as_json(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _whole(messages: Sequence[pb.RerankStreamResponse]) -> dict[str, Any]:
    """Return the answer of a stream as one object. Partial scores arrive in any order."""
    found = [_as_json(message) for message in messages]
    scores = [score for message in found for score in message.get("scores", {}).get("scores", [])]
    rankings = [message["ranking"] for message in found if "ranking" in message]
    whole: dict[str, Any] = {}
    for ranking in rankings:
        whole |= ranking
    whole["results"] = [result for ranking in rankings for result in ranking.get("results", [])]
    whole["last"] = [bool(message.get("last")) for message in found].count(True)
    return whole | {"scores": sorted(scores, key=lambda score: int(score.get("index", 0)))}
