"""Scores of many queries' documents, for commands: by a model in this process, run as a server runs it, or by a server.

Rule: what a caller of the server would get is what is measured here: the same tokens, batches, lanes and engine.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray

from rerank.v1 import rerank_pb2 as pb
from rerank_service.engine.host import usable_cores
from rerank_service.errors import InvalidRequest
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.registry import Registry
from rerank_service.ranking.document import Document, SentDocument
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.results import RankedDocument
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.deadline import Deadline
from rerank_service.tools.rest_client import RestCallFailed, client_of
from rerank_service.tools.server_address import ServerAddress

IN_FLIGHT = 8
"""Queries at once: enough that batches of like lengths can be formed of them."""
_AGES = 365 * 24 * 3600.0
_SERVER_SECONDS = 600.0
"""A query of another's server may take."""
_TOO_LONG = "query_too_long"
_REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""Statuses of a request that is wrong in itself, so that others can be answered."""

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Task:
    """A query with documents to score."""

    place: str
    """Where it was read, for what is said of it."""
    query: str
    documents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """Of a query's documents, each array of shape (documents,)."""

    logits: Logits
    windows: NDArray[np.int64]
    """In which each document was scored."""
    cut: NDArray[np.bool_]
    """Whether not all of it was."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the server, or the model, does not take."""

    reason: str
    message: str

    @property
    def query_too_long(self) -> bool:
        """The query alone leaves no room for a document."""
        return self.reason == _TOO_LONG


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scores."""

    model: str
    """Its name."""
    engine: str
    """What runs it."""
    score: Callable[[str, Sequence[str]], Awaitable[Scores | Refusal]]


class _TextReader:
    """Reads documents that are strings."""

    def chars(self, raw: str) -> int:
        return len(raw)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - a string is never wrong
        return Document(sent.raw)


@asynccontextmanager
async def in_process(
    options: ModelOptions,
    limits: RequestLimits,
    *,
    max_tokens_per_doc: int | None = None,
    too_long: TooLong = TooLong.WINDOWS,
) -> AsyncIterator[Scorer]:
    """Load a model and run its lanes. Of the limits, those on numbers of documents and windows do not hold here.

    Raises:
        BundleInvalid: it cannot be served.
    """
    os.environ.setdefault("RAYON_NUM_THREADS", str(usable_cores()))  # the tokenizer's, which it sizes to the host
    model = await asyncio.to_thread(load_selected, options)
    registry = Registry()
    registry.add(model)
    admission = Admission(sys.maxsize, float("inf"), asyncio.get_running_loop().time)
    unbounded = replace(limits, max_documents=sys.maxsize, max_windows=sys.maxsize)
    reranker = Reranker(registry, admission, unbounded)

    async def score(query: str, documents: Sequence[str]) -> Scores | Refusal:
        request = RerankRequest(query=query, max_tokens_per_doc=max_tokens_per_doc, too_long=too_long)
        try:
            ranking = await reranker.rerank(request, documents, reader=_TextReader(), deadline=Deadline.after(_AGES))
        except InvalidRequest as error:
            return Refusal(error.reason, str(error))
        return _scores(ranking)

    lanes = asyncio.create_task(model.scheduler.run())
    try:
        yield Scorer(model.info.name, f"{model.info.provider} {model.info.precision}", score)
    finally:
        model.scheduler.close()
        await lanes


@asynccontextmanager
async def by_server(
    address: ServerAddress,
    *,
    api_key: str | None = None,
    model: str = "",
    max_tokens_per_doc: int | None = None,
    too_long: TooLong = TooLong.WINDOWS,
) -> AsyncIterator[Scorer]:
    """Ask a running server, a request a query.

    Raises:
        grpc.aio.AioRpcError: a gRPC server does not answer.
        RestCallFailed: an HTTP server does not answer.
    """
    async with client_of(address, api_key=api_key, timeout=_SERVER_SECONDS) as client:
        served = await client.models()
        info = next((one for one in served if model in (one.name, *one.aliases)), served[0])

        how = pb.TooLong.Value(f"TOO_LONG_{too_long.name}")

        async def score(query: str, documents: Sequence[str]) -> Scores | Refusal:
            try:
                answer = await client.rerank(
                    query,
                    documents,
                    model=model,
                    max_tokens_per_doc=max_tokens_per_doc,
                    too_long=how,
                    score_type=pb.SCORE_TYPE_RAW,
                )
            except RestCallFailed as error:
                if error.status not in _REFUSED:
                    raise
                return Refusal(error.server_reason or "invalid", str(error))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                return Refusal(next(iter(_reasons(error)), "invalid"), error.details() or "")
            return _scores(answer.results)

        yield Scorer(info.name, f"{info.provider} {info.precision}, at {address.target}", score)


def _scores(results: Iterable[RankedDocument | pb.Result]) -> Scores:
    ordered = sorted(results, key=lambda one: one.index)
    return Scores(
        np.array([one.logit for one in ordered], np.float32),
        np.array([one.windows for one in ordered], np.int64),
        np.array([one.truncated for one in ordered], np.bool_),
    )


def _reasons(error: grpc.aio.AioRpcError) -> list[str]:
    """Return a reason for each field that the server names."""
    metadata = dict(error.trailing_metadata() or ())
    found: list[str] = []
    for detail in status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b"")).details:
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            found += [violation.reason.lower() for violation in request.field_violations]
    return found


async def score_all(scorer: Scorer, tasks: Sequence[Task], scored: Callable[[int], None]) -> list[Scores | Refusal]:
    """Return what became of each task; `scored` is told of how many documents more."""
    results: dict[int, Scores | Refusal] = {}
    waiting = iter(enumerate(tasks))
    workers = [asyncio.create_task(_work(scorer, waiting, results, scored)) for _ in range(IN_FLIGHT)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[at] for at in range(len(tasks))]


async def _work(
    scorer: Scorer,
    waiting: Iterator[tuple[int, Task]],
    results: dict[int, Scores | Refusal],
    scored: Callable[[int], None],
) -> None:
    for at, task in waiting:
        results[at] = await scorer.score(task.query, task.documents)
        scored(len(task.documents))
