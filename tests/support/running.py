"""The reranker and its edges in this process, with a lever to hold its model."""

import asyncio
import math
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from rerank.client import AsyncRerankClient
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import rerank_v1 as grpc_edge
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http.app import build_app
from rerank_service.api.http.routes import RerankRoutes, RestOptions
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry, ServedModel, load
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking, RerankRequest, TooLong
from rerank_service.reranker import OnScores, RequestLimits, Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.batch_cancellation import Stop
from rerank_service.scheduling.batching import Batch, BatchLimits
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.scheduler import Score
from rerank_service.scheduling.score_cache import ScoreCache


class HeldScore:
    """A score function that records the row lengths of each batch and waits while the test holds it."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._free = threading.Event()
        self._free.set()
        self._started = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def __call__(self, batch: Batch, stop: Stop) -> NDArray[np.float32]:
        self.batches.append([int(length) for length in batch.attention_mask.sum(axis=1)])
        self._started.release()
        self._free.wait()
        return self._score(batch, stop)

    def hold(self) -> None:
        """Let batches start, and none end, from now on."""
        self._free.clear()

    def release(self) -> None:
        """Let them end."""
        self._free.set()

    async def started(self) -> None:
        """Wait until one more batch has started."""
        await asyncio.to_thread(self._started.acquire)


class Stoppable:
    """A score function whose first batch runs until it is stopped; later ones are scored."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self.asked = threading.Event()
        """Set when the first batch is told to stop."""
        self.batches: list[int] = []
        """Rows of each."""

    def __call__(self, batch: Batch, stop: Stop) -> NDArray[np.float32]:
        self.batches.append(batch.rows)
        if len(self.batches) > 1:
            return self._score(batch, stop)
        stop.by(self.asked.set)
        self.asked.wait()
        raise RuntimeError("stopped")


def load_held(bundle: Bundle, **options: Any) -> tuple[ServedModel, HeldScore]:
    """Load a bundle with a score function that the test can hold; `options` are those of `load`."""
    held: list[HeldScore] = []

    def hold(score: Score) -> HeldScore:
        held.append(HeldScore(score))
        return held[0]

    model = load(bundle, wrap_score=hold, **options)
    return model, held[0]


class AsItIs:
    """Reads documents that are ours already."""

    def chars(self, raw: Document) -> int:
        """Of its text."""
        return len(raw.text)

    def read(self, raw: Document, field: str) -> Document:
        """Itself."""
        return raw


@dataclass(frozen=True, slots=True)
class Running:
    """A reranker whose lanes run."""

    reranker: Reranker
    registry: Registry
    admission: Admission
    model: ServedModel
    score: HeldScore

    async def rank(
        self,
        query: str,
        *texts: str,
        seconds: float = 60.0,
        top_n: int | None = None,
        too_long: TooLong = TooLong.WINDOWS,
    ) -> Ranking:
        """Rank plain texts."""
        request = RerankRequest(query=query, top_n=top_n, too_long=too_long)
        documents = [Document(text, text) for text in texts]
        return await self.reranker.rerank(request, documents, reader=AsItIs(), deadline=Deadline.after(seconds))

    async def rank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Document]],
        on_scores: OnScores | None = None,
        cutoff: Cutoff | None = None,
    ) -> Ranking:
        """Rank documents that come in chunks."""
        rankings: list[Ranking] = []

        async def deliver(ranking: Ranking) -> None:
            rankings.append(ranking)

        await self.reranker.rerank_stream(
            request,
            chunks,
            reader=AsItIs(),
            deadline=Deadline.after(60),
            deliver=deliver,
            on_scores=on_scores,
            cutoff=cutoff,
        )
        return rankings[0]

    def idle(self) -> bool:
        """Whether nothing is left of any request."""
        return not (self.admission.live_requests or self.admission.live_documents or self.model.scheduler.waiting)


@asynccontextmanager
async def running(
    bundle: Bundle,
    *,
    limits: RequestLimits | None = None,
    batch_limits: BatchLimits | None = None,
    lanes: int = 1,
    max_live_documents: int = 100_000,
    max_live_tokens: float = math.inf,
    scores: ScoreCache | None = None,
) -> AsyncIterator[Running]:
    """Load a bundle and run its lanes."""
    model, score = load_held(bundle, limits=batch_limits or BatchLimits(), lanes=lanes, scores=scores)
    registry = Registry()
    registry.add(model)
    clock = asyncio.get_running_loop().time
    admission = Admission(max_live_documents, max_live_tokens, clock)
    reranker = Reranker(registry, admission, limits or RequestLimits())
    lanes_task = asyncio.create_task(model.scheduler.run())
    try:
        yield Running(reranker, registry, admission, model, score)
    finally:
        score.release()
        model.scheduler.close()
        await lanes_task


@dataclass(frozen=True, slots=True)
class Served:
    """Both edges on real ports."""

    core: Running
    grpc: grpc_edge.GrpcEdge
    address: str
    client: AsyncRerankClient
    http: httpx.AsyncClient
    routes: RerankRoutes


MAX_MESSAGE_BYTES = 1024 * 1024
_OWN_CONNECTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""Else a port that the system gives out again would find the connection of the server before."""


@asynccontextmanager
async def served(
    core: Running,
    *,
    keys: Keys | None = None,
    default_timeout: float = 60.0,
    cutoff: Callable[[Deadline], Cutoff] = Cutoff,
) -> AsyncIterator[Served]:
    """Serve a reranker on ports of the system's choice."""
    keys = keys or Keys()
    grpc_options = grpc_edge.GrpcOptions(max_message_bytes=MAX_MESSAGE_BYTES, default_timeout=default_timeout)
    rest_options = RestOptions(max_body_bytes=MAX_MESSAGE_BYTES)
    methods = grpc_edge.RerankMethods(core.reranker, core.registry, grpc_options, cutoff)
    tei = TeiMethods(core.reranker, core.registry, default_timeout)
    routes = RerankRoutes(core.reranker, core.registry, keys, rest_options)
    async with (
        grpc_edge.listening((methods.service, *tei.services), keys, grpc_options) as grpc,
        rest_listening(build_app(routes), "127.0.0.1", 0) as rest,
        AsyncRerankClient(f"127.0.0.1:{grpc.port}", options=_OWN_CONNECTIONS) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{rest.port}", timeout=60) as http,
    ):
        await grpc.set_ready(ready=True)  # our client asks for health before it calls
        yield Served(core, grpc, f"127.0.0.1:{grpc.port}", client, http, routes)
