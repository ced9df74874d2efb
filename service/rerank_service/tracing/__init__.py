"""Traces: a span for each request, sent to an OTLP receiver. Needs the extra `otel`."""
