"""A reranker and its two APIs in the test process, with a model that a test can hold."""

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
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http.app import build_app
from rerank_service.api.http.metrics_route import MetricsRoute, MetricsText
from rerank_service.api.http.playground.routes import Playground
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.api.request_observation import Observing
from rerank_service.encoding.text_length import text_length
from rerank_service.live_request import OnScores
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import Score
from rerank_service.scheduling.batching import Batch, EncodedPair, collate
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.score_cache import ScoreCache
from support.limits import batch_limits, grpc_options, request_limits, rest_options
from support.rest_calls import NO_TLS


class HeldScore:
    """A score function that records each batch, and waits while the test holds it."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._free = threading.Event()
        self._free.set()
        self._fails = False
        self._works_on: NDArray[np.int64] | None = None
        self._stops = True
        self._started = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        """Token counts of the rows of each batch, without padding."""

    def __call__(self, batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        self.batches.append([int(length) for length in batch.attention_mask.sum(axis=1)])
        self._started.release()
        self._free.wait()
        if self._fails and not self._works(batch):
            raise RuntimeError("the model failed")
        return self._score(batch, token if self._stops else CancelToken())

    def hold(self) -> None:
        """From now on, let batches start but not end."""
        self._free.clear()

    def release(self) -> None:
        """Let batches end again."""
        self._free.set()

    def fail(self, *, but: EncodedPair | None = None) -> None:
        """From now on, let batches fail. A batch of the pair `but` alone is scored."""
        self._fails = True
        self._works_on = None if but is None else collate([but], pad_id=0, limits=batch_limits()).input_ids

    def _works(self, batch: Batch) -> bool:
        return self._works_on is not None and np.array_equal(batch.input_ids, self._works_on)

    def run_on(self) -> None:
        """From now on, let batches end also if they are cancelled, as OpenVINO does."""
        self._stops = False

    async def started(self) -> None:
        """Wait until one more batch has started."""
        await asyncio.to_thread(self._started.acquire)


class CancellableScore:
    """A score function whose first batch runs until it is cancelled. Later batches are scored."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self.cancelled = threading.Event()
        """Set when the first batch is cancelled."""
        self.batches: list[int] = []
        """Number of rows of each batch."""

    def __call__(self, batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        self.batches.append(batch.rows)
        if len(self.batches) > 1:
            return self._score(batch, token)
        token.on_cancel(self.cancelled.set)
        self.cancelled.wait()
        raise RuntimeError("stopped")


def build_held(bundle: Bundle, **options: Any) -> tuple[ServedModel, HeldScore]:
    """Build a model whose score function the test can hold. `options` are those of `build_model`."""
    held: list[HeldScore] = []

    def hold(score: Score) -> HeldScore:
        held.append(HeldScore(score))
        return held[0]

    model = build_model(bundle, wrap_score=hold, **options)
    return model, held[0]


class DocumentReader(Reader):
    """Reads documents that are already `Document` objects."""

    def length(self, raw: Document) -> TextLength:
        """Return the length of the text."""
        return text_length(raw.text)

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document unchanged."""
        document: Document = sent.raw
        return document


@dataclass(frozen=True, slots=True)
class Running:
    """A reranker whose lanes run."""

    reranker: Reranker
    registry: Registry
    admissions: Admissions
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
        documents = [Document(text, original=text) for text in texts]
        return await self.reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(seconds))

    async def rank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Document]],
        on_scores: OnScores | None = None,
        cutoff: Cutoff | None = None,
    ) -> Ranking:
        """Rank documents that arrive in chunks."""
        rankings: list[Ranking] = []

        async def deliver(ranking: Ranking) -> None:
            rankings.append(ranking)

        await self.reranker.rerank_stream(
            request,
            chunks,
            reader=DocumentReader(),
            deadline=Deadline.after(60),
            deliver=deliver,
            on_scores=on_scores,
            cutoff=cutoff,
        )
        return rankings[0]

    def tickets(self) -> list[Ticket]:
        """Return the tickets of the live requests, in no order."""
        return list(self.admission._live._tickets)

    @property
    def admission(self) -> Admission:
        """The admission of the model."""
        return self.admissions.of(self.model.info.name)

    def idle(self) -> bool:
        """Return True if no request has left anything behind: no capacity, no pairs."""
        return not (self.admission.live_requests or self.admission.live_documents or self.model.scheduler.waiting)


@asynccontextmanager
async def running_lanes(scheduler: Scheduler, score: HeldScore) -> AsyncIterator[None]:
    """Run the lanes of a scheduler during the block. At its end, release held batches and wait for the lanes."""
    task = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        score.release()
        scheduler.close()
        await task


@asynccontextmanager
async def running(
    bundle: Bundle,
    *,
    limits: RequestLimits | None = None,
    lanes: int = 1,
    max_live_documents: int = 100_000,
    max_live_tokens: float = math.inf,
    scores: ScoreCache | None = None,
    cost: CostModel | None = None,
) -> AsyncIterator[Running]:
    """Load a bundle, and run its lanes during the block."""
    model, score = build_held(bundle, limits=batch_limits(), lanes=lanes, scores=scores, cost=cost)
    registry = Registry()
    registry.add(model)
    clock = asyncio.get_running_loop().time
    admissions = Admissions(LiveLimits(max_live_documents, max_live_tokens), clock)
    reranker = Reranker(registry, admissions, limits or request_limits())
    async with running_lanes(model.scheduler, score):
        yield Running(reranker, registry, admissions, model, score)


@dataclass(frozen=True, slots=True)
class Served:
    """A reranker behind gRPC and REST on real ports."""

    core: Running
    grpc: grpc_server.GrpcEdge
    address: str
    client: AsyncRerankClient
    http: httpx.AsyncClient
    routes: RerankRoutes


MAX_MESSAGE_BYTES = 1024 * 1024
_OWN_CONNECTIONS = [("grpc.use_local_subchannel_pool", 1)]
"""Without it, gRPC may reuse the connection of an earlier server on the same port."""


@asynccontextmanager
async def served(
    core: Running,
    *,
    keys: Keys | None = None,
    default_timeout: float = 60.0,
    max_body_bytes: int = MAX_MESSAGE_BYTES,
    cutoff: Callable[[Deadline], Cutoff] = Cutoff,
    cors_origins: tuple[str, ...] = (),
    observing: Observing | None = None,
    metrics: MetricsText | None = None,
    playground: Playground | None = None,
    **grpc_changes: Any,
) -> AsyncIterator[Served]:
    """Serve a reranker over gRPC and REST, on ports that the system chooses. `metrics` and `playground` are
    served on the REST port.

    `grpc_changes` are options of gRPC.
    """
    keys = keys or Keys()
    options = grpc_options(
        **{"max_message_bytes": MAX_MESSAGE_BYTES, "default_timeout": default_timeout, **grpc_changes}
    )
    methods = RerankMethods(core.reranker, core.registry, options, cutoff)
    tei = TeiMethods(core.reranker, core.registry)
    rest_settings = rest_options(max_body_bytes=max_body_bytes, cors_origins=cors_origins)
    routes = RerankRoutes(core.reranker, core.registry, keys, rest_settings)
    app = build_app(routes, cors_origins, MetricsRoute(metrics, keys) if metrics else None, playground)
    async with (
        grpc_server.listening((methods.service, *tei.services), keys, options, observing) as grpc,
        rest_listening(app, rest_settings, observing) as rest,
        AsyncRerankClient(f"127.0.0.1:{grpc.port}", retries=0, options=_OWN_CONNECTIONS) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{rest.port}", timeout=60, verify=NO_TLS) as http,
    ):
        await grpc.set_ready(ready=True)  # the client checks the health before its first call
        yield Served(core, grpc, f"127.0.0.1:{grpc.port}", client, http, routes)
