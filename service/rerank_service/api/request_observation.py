"""Observe one request while it runs, and build its record when it ends. The same for gRPC and REST."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from rerank_service.api.client_address import TrustedProxies
from rerank_service.errors import DeadlinePassed
from rerank_service.observability.request_record import (
    OTHER,
    Failure,
    RequestObserver,
    RequestRecord,
    Texts,
    failure_of,
)
from rerank_service.ranking.document import Document, Reader, SentDocument
from rerank_service.ranking.results import Work

MAX_TEXTS = 20
"""Maximum number of documents in the log line of a request."""
MAX_TEXT_CHARS = 1000
"""Maximum length of a text in a log line."""


@dataclass(slots=True, kw_only=True)
class RequestObservation:
    """The facts about one request that are known so far. Used on the event loop only."""

    observer: RequestObserver
    id: str
    protocol: Literal["grpc", "rest"]
    method: str
    call: str
    client: str
    log_texts: bool = False
    """True if the record has the texts of the request."""
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
    _work: list[Work] = field(init=False, default_factory=list)
    _query: str = field(init=False, default="")
    _texts: list[str] = field(init=False, default_factory=list)

    def add_work(self, work: Work) -> None:
        """Add the work of an accepted request. A stream of TEI consists of several ones."""
        self._work.append(work)

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

    def reader(self, reader: Reader, query: str) -> Reader:
        """Return a reader that keeps texts for the log, if texts are logged; otherwise the given one."""
        if not self.log_texts:
            return reader
        self._query = query[:MAX_TEXT_CHARS]
        return _KeepingReader(reader, self._texts)

    def finish(self) -> None:
        """Build the record, and pass it to the observer."""
        self.observer.request_finished(
            RequestRecord(
                id=self.id,
                protocol=self.protocol,
                method=self.method,
                call=self.call,
                route=self.route,
                client=self.client,
                status=self.status,
                seconds=asyncio.get_running_loop().time() - self._began,
                dialect=self.dialect,
                key=self.key,
                documents=self.documents or sum(work.documents for work in self._work),
                received_bytes=self.received_bytes,
                sent_bytes=self.sent_bytes,
                failure=self._failure,
                texts=Texts(self._query, self._texts) if self.log_texts and self._query else None,
                **self._work_fields(),
            )
        )

    def _work_fields(self) -> dict[str, Any]:
        if not self._work:
            return {}
        timings = [work.timing for work in self._work]
        forecast, *others = [work.forecast for work in self._work]
        return {
            "ranked": True,
            "model": self._work[0].model,
            "tokens": sum(work.usage.prompt_tokens for work in self._work),
            "queue": sum(timing.queue for timing in timings),
            "tokenize": sum(timing.tokenize for timing in timings),
            "inference": sum(timing.inference for timing in timings),
            "forecast_error": None if forecast is None or others else timings[0].total - forecast,
        }


class _KeepingReader:
    """Reads documents with another reader, and keeps the first texts. Used by one worker thread at a time."""

    def __init__(self, reader: Reader, texts: list[str]) -> None:
        self._reader = reader
        self._texts = texts

    def chars(self, raw: Any) -> int:
        """Return the length that the other reader returns."""
        return self._reader.chars(raw)

    def query_chars(self, raw: Any) -> int | None:
        """Return the length that the other reader returns."""
        return self._reader.query_chars(raw)

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document that the other reader returns."""
        document = self._reader.read(sent, field)
        if len(self._texts) < MAX_TEXTS:
            self._texts.append(document.text[:MAX_TEXT_CHARS])
        return document


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
    log_texts: bool = False
