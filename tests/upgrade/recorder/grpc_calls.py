"""gRPC requests of 0.1.0's callers, and their responses, by messages of any descriptor pool."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from upgrade.recorder.rest_calls import DOCUMENTS, KEY, QUERY

_PACKAGE = "rerank.v1"
_METADATA = (("authorization", f"Bearer {KEY}"),)
_TEXTS = [{"text": text} for text in DOCUMENTS]
_DOCUMENTS = [
    {"id": "text", "text": DOCUMENTS[0]},
    {"id": "object", "object": {"title": DOCUMENTS[1], "year": 2026, "tags": ["a", None, True]}},
    {"json": '{"title": "fox", "text": "The quick brown fox"}'},
]


def _stream(header: dict[str, Any], *chunks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"header": header}, *({"documents": {"documents": chunk}} for chunk in chunks)]


GRPC_CALLS: dict[str, tuple[str, Any]] = {
    "texts": ("Rerank", {"query": QUERY, "documents": _TEXTS}),
    "all kinds": ("Rerank", {"query": QUERY, "documents": _DOCUMENTS, "return_documents": True}),
    "fields of objects": ("Rerank", {"query": QUERY, "documents": _DOCUMENTS[1:], "rank_fields": ["title"]}),
    "top_n": ("Rerank", {"query": QUERY, "documents": _TEXTS, "top_n": 2, "model": "other"}),
    "logits": ("Rerank", {"query": QUERY, "documents": _TEXTS, "score_type": "SCORE_TYPE_RAW"}),
    "probabilities": ("Rerank", {"query": QUERY, "documents": _TEXTS, "score_type": "SCORE_TYPE_PROBABILITY"}),
    "min_score": ("Rerank", {"query": QUERY, "documents": _TEXTS, "min_score": 0.5}),
    "cut documents": ("Rerank", {"query": QUERY, "documents": _TEXTS, "max_tokens_per_doc": 8}),
    "priority": ("Rerank", {"query": QUERY, "documents": _TEXTS, "priority": -3}),
    "stream": ("RerankStream", _stream({"request": {"query": QUERY}}, _TEXTS[:2], _TEXTS[2:])),
    "stream with scores": (
        "RerankStream",
        _stream({"request": {"query": QUERY, "top_n": 2}, "partial_scores": True}, _TEXTS),
    ),
    "models": ("ListModels", {}),
    "model": ("GetModel", {"name": "other"}),
    "default model": ("GetModel", {}),
    "unknown model": ("Rerank", {"query": QUERY, "documents": _TEXTS, "model": "nobody"}),
    "no query": ("Rerank", {"documents": _TEXTS}),
    "no documents": ("Rerank", {"query": QUERY}),
    "empty document": ("Rerank", {"query": QUERY, "documents": [{}]}),
    "wrong JSON": ("Rerank", {"query": QUERY, "documents": [{"json": "["}]}),
    "negative top_n": ("Rerank", {"query": QUERY, "documents": _TEXTS, "top_n": -1}),
    "stream without a header": ("RerankStream", [{"documents": {"documents": _TEXTS}}]),
    "unknown model by name": ("GetModel", {"name": "nobody"}),
}


def grpc_responses(address: str, pool: descriptor_pool.DescriptorPool) -> dict[str, Any]:
    """Send all requests to a server, with the messages of a pool. Return the responses by the names of the requests."""
    # without it, a port that the system gives out again could find the connection of an earlier server
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
        responses = {name: _outcome(channel, pool, *call) for name, call in GRPC_CALLS.items()}
        responses["no key"] = _outcome(channel, pool, "ListModels", {}, metadata=())
        return responses | {"health": _health(channel), "services": _services(channel)}


def _health(channel: grpc.Channel) -> dict[str, int]:
    """Return the status of each health service that probes and clients ask for."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
    names = ("", f"{_PACKAGE}.Rerank", "live")
    return {name: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status for name in names}


def _services(channel: grpc.Channel) -> dict[str, bool]:
    """Return the services that reflection lists."""
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    return dict.fromkeys(ProtoReflectionDescriptorDatabase(channel).get_services(), True)


def _outcome(
    channel: grpc.Channel,
    pool: descriptor_pool.DescriptorPool,
    method: str,
    request: Any,
    metadata: tuple[tuple[str, str], ...] = _METADATA,
) -> dict[str, Any]:
    described = pool.FindServiceByName(f"{_PACKAGE}.Rerank").FindMethodByName(method)
    takes = message_factory.GetMessageClass(described.input_type)
    gives = message_factory.GetMessageClass(described.output_type)
    path, codecs = f"/{_PACKAGE}.Rerank/{method}", (takes.SerializeToString, gives.FromString)

    def message(content: dict[str, Any]) -> Message:
        return json_format.ParseDict(content, takes(), descriptor_pool=pool)

    try:
        if isinstance(request, list):
            call: Any = channel.stream_stream(path, *codecs)
            return _merged(list(call(map(message, request), metadata=metadata, timeout=60)))
        call = channel.unary_unary(path, *codecs)
        return {"response": _shown(call(message(request), metadata=metadata, timeout=60))}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": _details(error.trailing_metadata())}


def _merged(responses: Sequence[Any]) -> dict[str, Any]:
    """Return the scores of a stream by index, and its ranking: how they are cut into messages is not promised."""
    scores = [_shown(score) for response in responses for score in response.scores.scores]
    ranking, *others = [response.ranking for response in responses if response.WhichOneof("part") == "ranking"]
    for part in others:
        ranking.MergeFrom(part)
    return {"scores": sorted(scores, key=lambda score: score.get("index", 0)), "ranking": _shown(ranking)}


def _shown(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return shown


def _details(metadata: Iterable[Any]) -> dict[str, list[str]]:
    """Return the types of the details of an error, each with the fields that it names."""
    from google.rpc import error_details_pb2, status_pb2

    details: dict[str, list[str]] = {}
    for detail in status_pb2.Status.FromString(dict(metadata).get("grpc-status-details-bin", b"")).details:
        bad = error_details_pb2.BadRequest()
        detail.Unpack(bad)
        details[detail.type_url.rpartition("/")[2]] = [violation.field for violation in bad.field_violations]
    return details
