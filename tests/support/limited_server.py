"""A gRPC server with one model, which is loaded by its first request. A request misses its deadline if it has many
documents, or a slow one. The score of a document is its number; version v2 of the model adds 100."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from support.rerank_servicer import serving

SLOW = "slow"
"""A document that misses the deadline, also on its own."""
_NAMES = ("", "default", "docs")
_PROVIDER = "CPUExecutionProvider"


class LimitedServer(pb_grpc.RerankServicer):
    """Serves the model `docs`."""

    def __init__(self, max_documents: int) -> None:
        self._max_documents = max_documents
        self._lock = threading.Lock()
        self.address = ""
        self.digest = "v1"
        """Digest of the model. A test may change it."""
        self.digest_after: dict[int, str] = {}
        """Digests that the model gets when so many requests were scored."""
        self.for_replica: set[int] = set()
        """Requests, by their number from 1, that another replica with version v2 answers. If there are any, responses
        say what scored them, as those of current servers do."""
        self.calls: list[list[str]] = []
        """Documents of all requests for the model."""
        self.broken: grpc.StatusCode | None = None
        """Status of all responses from now on. None: as above."""

    def Rerank(self, request: pb.RerankRequest, context: Any) -> pb.RerankResponse:  # noqa: N802
        """Score the documents."""
        if request.model not in _NAMES:
            context.abort(grpc.StatusCode.NOT_FOUND, f"model {request.model!r} is not served here")
        texts = [document.text for document in request.documents]
        with self._lock:
            self.calls.append(texts)
            number = len(self.calls)
        if self.broken is not None:
            context.abort(self.broken, "the server is broken")
        if len(texts) > self._max_documents or SLOW in texts:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the request would miss its deadline")
        with self._lock:
            self.digest = self.digest_after.get(len(self.calls), self.digest)
            digest = "v2" if number in self.for_replica else self.digest
        added = 100.0 if digest == "v2" else 0.0
        results = [_result(index, text, added) for index, text in enumerate(texts)]
        response = pb.RerankResponse(model="docs", results=sorted(results, key=lambda result: -result.logit))
        if self.for_replica:
            response.model_version.CopyFrom(pb.ModelVersion(digest=digest, provider=_PROVIDER, precision="fp32"))
        return response

    def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """Return the model. Its engine is known when it is loaded."""
        model = pb.Model(name="docs", digest=self.digest)
        if self.calls:
            model.provider, model.precision = _PROVIDER, "fp32"
        return pb.ListModelsResponse(models=[model])

    def RerankStream(self, requests: Iterator[pb.RerankStreamRequest], context: Any) -> Iterator[Any]:  # noqa: N802
        """Reject streams."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams")
        yield

    def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:  # noqa: N802
        """Return a model without fields."""
        return pb.Model()


def _result(index: int, text: str, added: float) -> pb.Result:
    number = added + (float(text) if text.isdigit() else 0.0)
    return pb.Result(index=index, relevance_score=number, logit=number, windows=1)


@contextmanager
def limited_server(max_documents: int = 256) -> Iterator[LimitedServer]:
    """Serve during the block, on a port that the system chooses."""
    service = LimitedServer(max_documents)
    with serving(service) as service.address:
        yield service
