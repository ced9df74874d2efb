"""Traces of finished requests: spans that are built from the record.

Rule: all spans of a request are built when it ends, with the times of its record. While a request runs, traces do
nothing.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id

import rerank_service
from rerank_service.observability.request_record import RequestObserver, RequestRecord, Stage
from rerank_service.tracing.attributes import (
    call_attributes,
    error_type,
    result_attributes,
    span_name,
    span_status,
    text_attributes,
)


class TracedRequests:
    """Makes the spans of finished requests, and passes records on with the ids of their spans."""

    def __init__(self, provider: TracerProvider, observer: RequestObserver, *, trace_texts: bool = False) -> None:
        """`observer` receives the records. `trace_texts`: spans have the texts of a record."""
        self._tracer = provider.get_tracer("rerank_service", rerank_service.__version__)
        self._observer = observer
        self._trace_texts = trace_texts

    def call_started(self, method: str) -> None:
        """Pass the beginning of a call on."""
        self._observer.call_started(method)

    def request_finished(self, record: RequestRecord) -> None:
        """Make the spans of a request, and pass its record on with their ids."""
        identity = self._trace(record).get_span_context()
        if identity.is_valid:
            record = replace(
                record, trace_id=format_trace_id(identity.trace_id), span_id=format_span_id(identity.span_id)
            )
        self._observer.request_finished(record)

    def _trace(self, record: RequestRecord) -> trace.Span:
        """Make the spans of a request, and return that of the whole request. A span that is not sampled costs a few
        microseconds."""
        clock = _UnixClock()
        headers = _grouped(record.headers())
        span = self._tracer.start_span(
            span_name(record),
            context=propagate.extract(headers, context=Context()),
            kind=SpanKind.SERVER,
            attributes=call_attributes(record),
            start_time=clock.nanoseconds(record.ended - record.seconds),
        )
        if span.is_recording():
            span.set_attributes(result_attributes(record, headers))
            if self._trace_texts and record.texts is not None:
                span.set_attributes(text_attributes(record.texts))
            span.set_status(span_status(record))
            within = trace.set_span_in_context(span, Context())
            for stage in record.stages:
                self._trace_stage(stage, record, within, clock)
            span.end(clock.nanoseconds(record.ended))
        return span

    def _trace_stage(self, stage: Stage, record: RequestRecord, within: Context, clock: "_UnixClock") -> None:
        span = self._tracer.start_span(
            stage.name,
            context=within,
            attributes={"rerank.busy_seconds": stage.seconds},
            start_time=clock.nanoseconds(stage.began),
        )
        if stage.failed:
            span.set_attribute("error.type", error_type(record))
            span.set_status(Status(StatusCode.ERROR))
        span.end(clock.nanoseconds(stage.ended))


class _UnixClock:
    """Converts times of the event loop into Unix times."""

    def __init__(self) -> None:
        self._unix = time.time_ns()
        self._loop = asyncio.get_running_loop().time()

    def nanoseconds(self, seconds: float) -> int:
        """Return the Unix time, in nanoseconds, of a time of the event loop, in seconds."""
        return self._unix - round((self._loop - seconds) * 1e9)


def _grouped(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return all values of each header: tracestate may come in several ones."""
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        grouped.setdefault(name, []).append(value)
    return grouped
