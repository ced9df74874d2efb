"""Servers whose requests are traced, with a receiver of the traces."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from rerank_service.api.client_address import TrustedProxies
from rerank_service.api.request_observation import Observing
from rerank_service.observability.access_log import AccessLog
from rerank_service.observability.request_record import Observers, RequestRecord
from rerank_service.tracing.provider import tracer_provider
from rerank_service.tracing.traces import TracedRequests
from support.observed import Recorder
from support.otlp import OtlpReceiver, ReceivedSpan
from support.running import Running, Served, served

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
"""The traceparent of a client that is sampled."""
NOT_SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"


@dataclass(frozen=True, slots=True)
class Traced:
    """Running servers, and the receiver of their traces."""

    edges: Served
    recorder: Recorder
    receiver: OtlpReceiver
    provider: TracerProvider

    async def next(self) -> tuple[RequestRecord, list[ReceivedSpan]]:
        """Wait until the next request is finished and its spans have arrived. Return its record and its spans."""
        record = await self.recorder.next()
        await asyncio.to_thread(self.provider.force_flush)
        return record, self.receiver.take()

    async def request(self) -> tuple[ReceivedSpan, dict[str, ReceivedSpan]]:
        """Wait for the next request. Return its own span, and its children by name."""
        _, spans = await self.next()
        [own] = [span for span in spans if span.message.kind == span.message.SPAN_KIND_SERVER]
        children = [span for span in spans if span is not own]
        assert all(span.message.parent_span_id == own.message.span_id for span in children)
        assert all(span.message.trace_id == own.message.trace_id for span in children)
        return own, {span.name: span for span in children}


@asynccontextmanager
async def traced(
    core: Running, receiver: OtlpReceiver, *, trace_texts: bool = False, **options: Any
) -> AsyncIterator[Traced]:
    """Serve a reranker, and trace each request. The variables OTEL_… say where the receiver is. `options` are those of
    `served`."""
    recorder = Recorder()
    provider = tracer_provider()
    observer = TracedRequests(provider, Observers(recorder, AccessLog("all")), trace_texts=trace_texts)
    observing = Observing(observer, TrustedProxies(()), keep_texts=trace_texts, traced=True)
    try:
        async with served(core, observing=observing, **options) as edges:
            yield Traced(edges, recorder, receiver, provider)
    finally:
        await asyncio.to_thread(provider.shutdown)
