"""A gRPC server that answers rerank.v1.Rerank with a list of replies, one per call."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from support.rerank_servicer import serving


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one call: an error, or a ranking without results."""

    code: grpc.StatusCode | None = None
    """None: a ranking."""
    message: str = "scripted"
    retry_after: float | None = None
    """Seconds of RetryInfo."""
    details: bytes | None = None
    """Bytes of the status, instead of a valid one."""
    score_first: bool = False
    """For streams: send the score of document 0 before the reply."""


@dataclass(slots=True)
class Seen:
    """A call that the server has received."""

    documents: list[str] = field(default_factory=list)


class ScriptedServer(pb_grpc.RerankServicer):
    """Gives the replies in order, and records the calls."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = deque(replies)
        self._lock = threading.Lock()
        self.calls: list[Seen] = []
        self.address = ""

    def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:  # noqa: N802
        """Give the next reply."""
        _, reply = self._received()
        _send(reply, context)
        return pb.RerankResponse()

    def RerankStream(self, requests: Iterator[pb.RerankStreamRequest], context: Any) -> Iterator[Any]:  # noqa: N802
        """Give the next reply, after all documents were received."""
        seen, reply = self._received()
        for message in requests:
            seen.documents += [document.text for document in message.documents.documents]
        if reply.score_first:
            yield pb.RerankStreamResponse(scores=pb.PartialScores(scores=[pb.PartialScore(index=0)]))
        _send(reply, context)
        yield pb.RerankStreamResponse(ranking=pb.RerankResponse(model="scripted"), last=True)

    def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """Return no models."""
        return pb.ListModelsResponse()

    def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:  # noqa: N802
        """Return a model without fields."""
        return pb.Model()

    def _received(self) -> tuple[Seen, Reply]:
        seen = Seen()
        with self._lock:
            self.calls.append(seen)
            return seen, self._replies.popleft()


def busy_status(retry_after: float) -> status_pb2.Status:
    """Return a status with RetryInfo. `retry_after` is in seconds."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromNanoseconds(int(retry_after * 1e9))
    status = status_pb2.Status()
    status.details.add().Pack(retry)
    return status


def _send(reply: Reply, context: Any) -> None:
    if reply.code is None:
        return
    status = status_pb2.Status() if reply.retry_after is None else busy_status(reply.retry_after)
    packed = status.SerializeToString() if reply.details is None else reply.details
    context.set_trailing_metadata((("grpc-status-details-bin", packed), ("x-request-id", "scripted-1")))
    context.abort(reply.code, reply.message)


@contextmanager
def scripted(*replies: Reply) -> Iterator[ScriptedServer]:
    """Serve during the block, on a port that the system chooses."""
    service = ScriptedServer(replies)
    with serving(service) as service.address:
        yield service
