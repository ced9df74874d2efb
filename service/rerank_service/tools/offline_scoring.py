"""Score the documents of many queries for commands, with a model in this process. server_scoring.py has a server.

Rule: a command measures the behaviour of the server: the same tokens, batches, lanes and engine.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rerank.v1 import rerank_pb2 as pb
from rerank_service.engine.host import limit_tokenizer_threads
from rerank_service.errors import InferenceFailed, InvalidRequest
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.registry import Registry
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.results import RankedDocument
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.deadline import Deadline
from rerank_service.tools.string_reader import StringReader

CONCURRENT_QUERIES = 8
"""Number of queries scored at the same time: enough to form batches of pairs with similar lengths."""
_NO_DEADLINE_SECONDS = 365 * 24 * 3600.0

Logits = NDArray[np.float32]
OnScored = Callable[[int], object]
"""Called with the number of documents after each scored query."""


@dataclass(frozen=True, slots=True)
class Task:
    """A query with documents to score."""

    place: str
    """Place in the input file, for messages."""
    query: str
    documents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a query's documents, in their order; each array has the shape (documents,)."""

    logits: Logits
    windows: NDArray[np.int64]
    """Number of windows of each document."""
    truncated: NDArray[np.bool_]
    """True for a document that was not scored completely."""
    query_truncated: bool
    """True if the query was cut."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the server or the model rejected."""

    message: str


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model that is ready to score."""

    model: str
    """Name of the model."""
    engine: str
    """Provider and precision, and the address of a server."""
    score: Callable[[str, Sequence[str]], Awaitable[Scores | Refusal]]
    """Score documents for a query."""


@asynccontextmanager
async def local_scorer(
    options: ModelOptions,
    limits: RequestLimits,
    *,
    max_tokens_per_doc: int | None = None,
    too_long: TooLong = TooLong.WINDOWS,
) -> AsyncIterator[Scorer]:
    """Load a model and run its lanes. The limits on the number of documents and windows do not apply.

    Raises:
        BundleInvalid: the model cannot be served.
        MemoryTooSmall: its weights exceed the memory limit.
        NothingScored: the model fails on every pair. The end of the block raises it, and `score` raises NotReady.
    """
    limit_tokenizer_threads()
    model = await asyncio.to_thread(load_selected, options)
    registry = Registry()
    registry.add(model)
    admissions = Admissions(LiveLimits(sys.maxsize, float("inf")), asyncio.get_running_loop().time)
    unbounded = replace(limits, max_documents=sys.maxsize, max_windows=sys.maxsize)
    reranker = Reranker(registry, admissions, unbounded)

    async def rank(query: str, documents: Sequence[str]) -> Ranking:
        request = RerankRequest(query=query, max_tokens_per_doc=max_tokens_per_doc, too_long=too_long)
        deadline = Deadline.after(_NO_DEADLINE_SECONDS)
        return await reranker.rerank(request, documents, reader=StringReader(), deadline=deadline)

    async def score(query: str, documents: Sequence[str]) -> Scores | Refusal:
        try:
            ranking = await rank(query, documents)
        except (InvalidRequest, InferenceFailed) as error:
            return Refusal(str(error))
        return scores_of(ranking, query_truncated=ranking.query_truncated)

    lanes = asyncio.create_task(model.scheduler.run())
    try:
        yield Scorer(model.info.name, f"{model.info.provider} {model.info.precision}", score)
    finally:
        model.scheduler.close()
        await lanes


def scores_of(results: Iterable[RankedDocument | pb.Result], *, query_truncated: bool) -> Scores:
    """Return the scores of a ranking, in the order of the documents."""
    by_index = sorted(results, key=lambda result: result.index)
    return Scores(
        np.array([result.logit for result in by_index], np.float32),
        np.array([result.windows for result in by_index], np.int64),
        np.array([result.truncated for result in by_index], np.bool_),
        query_truncated,
    )


async def score_all(scorer: Scorer, tasks: Sequence[Task], on_scored: OnScored) -> list[Scores | Refusal]:
    """Score all tasks, a few at the same time. Return their outcomes in the order of the tasks."""
    outcomes: dict[int, Scores | Refusal] = {}
    queue = iter(enumerate(tasks))
    workers = [asyncio.create_task(_work(scorer, queue, outcomes, on_scored)) for _ in range(CONCURRENT_QUERIES)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [outcomes[position] for position in range(len(tasks))]


async def _work(
    scorer: Scorer,
    queue: Iterator[tuple[int, Task]],
    outcomes: dict[int, Scores | Refusal],
    on_scored: OnScored,
) -> None:
    for position, task in queue:
        outcomes[position] = await scorer.score(task.query, task.documents)
        on_scored(len(task.documents))
