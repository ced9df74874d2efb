"""An observer that gives the records of finished requests to a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rerank_service.api.client_address import TrustedProxies
from rerank_service.api.request_observation import Observing
from rerank_service.observability.access_log import AccessLog
from rerank_service.observability.request_record import Observers, RequestRecord
from support.running import Running, Served, served


class Recorder:
    """Keeps the methods of gRPC calls that began, and the records of requests that ended."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._records: asyncio.Queue[RequestRecord] = asyncio.Queue()

    def call_started(self, method: str) -> None:
        """Keep a method."""
        self.started.append(method)

    def request_finished(self, record: RequestRecord) -> None:
        """Keep a record."""
        self._records.put_nowait(record)

    async def next(self) -> RequestRecord:
        """Wait for the next record: a client may have its response before."""
        return await self._records.get()

    @property
    def empty(self) -> bool:
        """True if all records were taken."""
        return self._records.empty()


@asynccontextmanager
async def observed(
    core: Running, *, proxies: tuple[str, ...] = (), log_texts: bool = False, **options: Any
) -> AsyncIterator[tuple[Served, Recorder]]:
    """Serve a reranker, and record and log each request. `options` are those of `served`."""
    recorder = Recorder()
    log = AccessLog("all", log_texts=log_texts)
    observing = Observing(Observers(recorder, log), TrustedProxies(proxies), keep_texts=log_texts)
    async with served(core, observing=observing, **options) as edges:
        yield edges, recorder
