"""The OpenTelemetry SDK, configured by the variables OTEL_… of OpenTelemetry's specification.

The SDK reads all of them itself, except the protocol: `opentelemetry-instrument` would read it, and this server does
not run under it.
"""

import logging
import os
from collections.abc import Mapping

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.util.re import parse_env_headers

import rerank_service
from rerank_service.error_text import one_line
from rerank_service.errors import SettingsInvalid

_PARSERS = ("opentelemetry.baggage", "opentelemetry.trace")
"""Loggers that quote wrong headers of clients. Nothing that a client sends must write to the log."""
_HEADER_PARSER = "opentelemetry.util.re"
"""Logger that quotes a wrong header of the variables below, which may be a key."""
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SERVICE = "rerank-service"
_UNKNOWN_SERVICE = "unknown_service"


def tracer_provider() -> TracerProvider:
    """Return a provider that sends spans in the background, from a queue of bounded size.

    It is not the global one: libraries such as FastAPI would add their own spans to it.

    Raises:
        ImportError: a package is not installed.
        SettingsInvalid: a variable OTEL_… is wrong.
    """
    for name in _PARSERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger(_HEADER_PARSER).setLevel(logging.CRITICAL)
    _check_headers(os.environ)
    exporter = _exporter(os.environ)
    try:
        # the import reads OTEL_PROPAGATORS
        from opentelemetry import propagate  # noqa: F401

        processor = BatchSpanProcessor(exporter)
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    except Exception as error:
        raise _wrong_variable(error) from error
    provider.add_span_processor(processor)
    return provider


def _exporter(environment: Mapping[str, str]) -> SpanExporter:
    name, protocol = next(
        ((name, environment[name]) for name in _PROTOCOLS if environment.get(name)), (_PROTOCOLS[1], "grpc")
    )
    try:
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

            return GrpcExporter()
        if protocol == "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

            return HttpExporter()
    except ImportError:
        raise
    except Exception as error:
        raise _wrong_variable(error) from error
    raise SettingsInvalid(f"{name} is {protocol!r}: give grpc or http/protobuf")


def _check_headers(environment: Mapping[str, str]) -> None:
    """Check the form of headers. OpenTelemetry leaves out those that it cannot read, such as a key.

    Raises:
        SettingsInvalid: a header has another form. The message does not contain it.
    """
    for name in _HEADERS:
        for number, header in enumerate(filter(str.strip, environment.get(name, "").split(",")), 1):
            if not parse_env_headers(header, liberal=True):
                raise SettingsInvalid(
                    f"--traces or RERANK_TRACES is 'otlp', but header {number} of {name} is not NAME=VALUE: write '=' "
                    "between name and value, and %2C for a comma in a value"
                )


def _wrong_variable(error: Exception) -> SettingsInvalid:
    return SettingsInvalid(
        f"--traces or RERANK_TRACES is 'otlp', but a variable OTEL_… has a wrong value: {one_line(error)}"
    )


def _resource() -> Resource:
    """Return the resource of the variables, with name and version of this service where they have none."""
    resource = Resource.create()
    given = dict(resource.attributes)
    if str(given.get(SERVICE_NAME, _UNKNOWN_SERVICE)).startswith(_UNKNOWN_SERVICE):
        given[SERVICE_NAME] = _SERVICE
    given.setdefault(SERVICE_VERSION, rerank_service.__version__)
    return Resource(given, resource.schema_url)
