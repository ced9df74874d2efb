"""Observe one request while it runs, and build its record when it ends. The same for gRPC and REST."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from rerank_service.api.client_address import TrustedProxies
from rerank_service.api.ranking_observation import MAX_TEXT_CHARS, KeepingReader, RankingObservation
from rerank_service.error_text import excerpt
from rerank_service.errors import DeadlinePassed
from rerank_service.observability.request_record import (
    OTHER,
    Failure,
    RequestObserver,
    RequestRecord,
    Stage,
    Texts,
    failure_of,
    no_headers,
)
from rerank_service.ranking.document import Reader
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import Work


@dataclass(slots=True, kw_only=True)
class RequestObservation:
    """The facts about one request that are known so far. Used on the event loop only."""

    observer: RequestObserver
    id: str
    protocol: Literal["grpc", "rest"]
    method: str
    call: str
    client: str
    scheme: str = "http"
    headers: Callable[[], Iterable[tuple[str, str]]] = no_headers
    """Return the headers, with names in lower case."""
    keep_texts: bool = False
    """True if the record has the texts of the request."""
    traced: bool = False
    """True if the record has the stages of the request."""
    route: str = OTHER
    dialect: str = ""
    key: str = ""
    documents: int = 0
    """Number of documents of a unary request."""
    status: int | str = "OK"
    """HTTP status, or name of the gRPC status."""
    received_bytes: int = 0
    sent_bytes: int = 0
    _began: float = field(init=False, default_factory=lambda: asyncio.get_running_loop().time())
    _failure: Failure | None = field(init=False, default=None)
    _ranking: RankingObservation | None = field(init=False, default=None)
    _texts: list[str] = field(init=False, default_factory=list)

    def ranking(self, request: RerankRequest, reader: Reader) -> RankingObservation:
        """Observe the ranking of the request, which begins now. `reader` reads its documents."""
        self._ranking = RankingObservation(
            model=request.model,
            top_n=request.top_n,
            highlights=request.highlights,
            query=request.query[:MAX_TEXT_CHARS] if self.keep_texts else "",
            reader=KeepingReader(reader, self._texts) if self.keep_texts else reader,
        )
        return self._ranking

    def fail(self, error: Exception) -> None:
        """Record the error that ended the request."""
        self._failure = failure_of(error)

    def cancel(self, *, deadline_passed: bool) -> None:
        """Record that gRPC cancelled the call: its deadline passed, or its client cancelled it."""
        if self._failure is not None:
            return  # gRPC may cancel a call while its error is sent
        self.status = "DEADLINE_EXCEEDED" if deadline_passed else "CANCELLED"
        if deadline_passed:
            self.fail(DeadlinePassed("the deadline passed before the request was finished"))

    def finish(self) -> None:
        """End the request now: build its record, and pass it to the observer."""
        self._report(asyncio.get_running_loop().time())

    def finish_soon(self) -> None:
        """End the request now, and report it in the next turn of the event loop: the response is sent first."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self._report, loop.time())

    def _report(self, ended: float) -> None:
        self.observer.request_finished(
            RequestRecord(
                id=self.id,
                protocol=self.protocol,
                method=self.method,
                call=self.call,
                route=self.route,
                client=self.client,
                status=self.status,
                seconds=ended - self._began,
                ended=ended,
                scheme=self.scheme,
                dialect=self.dialect,
                key=self.key,
                documents=self.documents or (self._work.documents if self._work else 0),
                received_bytes=self.received_bytes,
                sent_bytes=self.sent_bytes,
                failure=self._failure,
                texts=self._kept_texts(),
                stages=self._stages(ended) if self.traced else (),
                headers=self.headers,
                **self._ranking_fields(),
                **self._work_fields(),
            )
        )

    @property
    def _work(self) -> Work | None:
        return self._ranking.work if self._ranking else None

    def _kept_texts(self) -> Texts | None:
        ranking = self._ranking
        return Texts(ranking.query, self._texts, ranking.results) if ranking and self.keep_texts else None

    def _stages(self, ended: float) -> list[Stage]:
        return list(self._ranking.stages(ended)) if self._ranking else []

    def _ranking_fields(self) -> dict[str, Any]:
        ranking = self._ranking
        if ranking is None:
            return {}
        return {
            "is_ranking": True,
            "asked_model": excerpt(ranking.model),
            "top_n": ranking.top_n,
            "highlights": ranking.highlights,
        }

    def _work_fields(self) -> dict[str, Any]:
        work = self._work
        if work is None:
            return {}
        return {
            "ranked": True,
            "model": work.model,
            "tokens": work.usage.prompt_tokens,
            "queue": work.timing.queue,
            "tokenize": work.timing.tokenize,
            "inference": work.timing.inference,
            "forecast_error": None if work.forecast is None else work.timing.total - work.forecast,
        }


class NoObserver:
    """Observes nothing."""

    def call_started(self, method: str) -> None:
        """Do nothing."""

    def request_finished(self, record: RequestRecord) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Observing:
    """Values for the observation of requests, the same for each request."""

    observer: RequestObserver = field(default_factory=NoObserver)
    proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))
    keep_texts: bool = False
    """True if an observer needs texts."""
    traced: bool = False
    """True if an observer needs the stages of requests."""
