"""Valid unary calls, which the server must accept."""

from collections.abc import Callable, Collection, Mapping
from random import Random

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2 as pb
from torture.grpc_fuzz.case import CallCase, Sent

_SECONDS = 60.0
"""Deadline. The server is fast enough for it, whatever else it does."""


def _rerank(rng: Random) -> Message:
    documents = [pb.Document(text=text) for text in _texts(rng)]
    score_type = rng.choice((pb.SCORE_TYPE_UNSPECIFIED, pb.SCORE_TYPE_RAW, pb.SCORE_TYPE_SIGMOID))
    return pb.RerankRequest(query="1", documents=documents, score_type=score_type, return_documents=rng.random() < 0.5)


def _tei_rerank(rng: Random) -> Message:
    return tei_pb2.RerankRequest(query="1", texts=_texts(rng), truncate=True, return_text=rng.random() < 0.5)


def _texts(rng: Random) -> list[str]:
    return [" ".join(str(rng.randrange(100)) for _ in range(rng.randrange(1, 40))) for _ in range(rng.randrange(1, 20))]


_MESSAGES: Mapping[str, Callable[[Random], Message]] = {
    "/rerank.v1.Rerank/Rerank": _rerank,
    "/rerank.v1.Rerank/ListModels": lambda _: pb.ListModelsRequest(),
    "/tei.v1.Rerank/Rerank": _tei_rerank,
    "/tei.v1.Info/Info": lambda _: tei_pb2.InfoRequest(),
    "/grpc.health.v1.Health/Check": lambda _: health_pb2.HealthCheckRequest(),
}


def plain_call(rng: Random, paths: Collection[str]) -> CallCase | None:
    """Return a valid call of one of the methods with these paths. None if there is none for them."""
    known = [path for path in _MESSAGES if path in paths]
    if not known:
        return None
    path = rng.choice(known)
    data = _MESSAGES[path](rng).SerializeToString()
    return CallCase(title="a valid call", path=path, messages=(Sent(data),), timeout=_SECONDS, plain=True)
