"""Settings of traces."""

from typing import ClassVar, Literal

from rerank_service.settings.group import SettingsGroup


class TraceSettings(SettingsGroup):
    """Settings of traces."""

    heading: ClassVar[str] = "Traces"

    traces: Literal["off", "otlp"] = "off"
    """otlp: send a trace of each request to an OpenTelemetry receiver. The variables OTEL_… of OpenTelemetry say where
    it is and which requests are sampled, such as OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317 and
    OTEL_TRACES_SAMPLER=parentbased_traceidratio. Needs the extra otel. Health checks and /metrics have no trace."""
    trace_texts: bool = False
    """Add the query, the first 20 documents and the first 20 results of each request to its span, each text cut to
    1,000 characters. Otherwise, no text of a caller is in a trace."""
