"""The OpenTelemetry SDK as the variables OTEL_… configure it."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

import rerank_service
from rerank_service.errors import SettingsInvalid
from rerank_service.tracing.provider import tracer_provider
from support.http import post
from support.otlp import OtlpReceiver, grpc_receiver, http_receiver
from support.running import Running
from support.traced import SAMPLED, traced

BODY = {"query": "0", "documents": ["1"]}


@pytest.mark.parametrize(
    ("protocol", "receiving"), [("", grpc_receiver), ("grpc", grpc_receiver), ("http/protobuf", http_receiver)]
)
async def test_traces_are_sent_over_grpc_and_http(
    core: Running,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    receiving: Callable[[], AbstractContextManager[OtlpReceiver]],
) -> None:
    """OTEL_EXPORTER_OTLP_PROTOCOL chooses; empty variables are unset. All spans name the service."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        async with traced(core, receiver) as parts:
            await post(parts.edges, BODY)
            _, spans = await parts.next()
        assert len(spans) == 5
        for span in spans:
            assert span.resource["service.name"] == "rerank-service"
            assert span.resource["service.version"] == rerank_service.__version__
            assert span.resource["telemetry.sdk.name"] == "opentelemetry"


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"OTEL_SERVICE_NAME": "search"}, "search"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,service.version=7,deployment.environment.name=prod"}, "shop"),
    ],
)
def test_resource_of_the_variables_counts(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    """This service's name and version are defaults only."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    provider = tracer_provider()
    provider.shutdown()
    attributes = provider.resource.attributes
    assert attributes["service.name"] == name
    assert attributes["service.version"] == ("7" if name == "shop" else rerank_service.__version__)
    assert attributes.get("deployment.environment.name") == ("prod" if name == "shop" else None)


async def test_disabled_sdk_traces_nothing(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED. The log line has no id of a span that does not exist."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with grpc_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        async with traced(core, receiver) as parts:
            await post(parts.edges, BODY)
            record, spans = await parts.next()
    assert (record.trace_id, spans) == ("", [])


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "is 'http/json': give grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is 'udp'"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "soon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "brotli"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "max_queue_size"),
    ],
)
def test_wrong_variable_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    """The start fails instead of losing traces."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid) as caught:
        tracer_provider()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "headers", ["x-api-key: sesame", "a=b,x-api-key: sesame", "authorization=Bearer abc,sesame", "sesame"]
)
def test_wrong_header_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], headers: str
) -> None:
    """It may be a key. OpenTelemetry would log it, and leave it out."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    with pytest.raises(SettingsInvalid, match=r"header \d of OTEL_EXPORTER_OTLP_HEADERS is not NAME=VALUE") as caught:
        tracer_provider()
    assert "sesame" not in str(caught.value) + capfd.readouterr().err


@pytest.mark.parametrize("headers", ["", "x-api-key=a", "a=b, c=d%2Ce,", "authorization=Bearer abc"])
def test_valid_headers_are_accepted(monkeypatch: pytest.MonkeyPatch, headers: str) -> None:
    """Also those with blanks, which the specification wants encoded."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    tracer_provider().shutdown()


@pytest.mark.parametrize(
    ("propagators", "expected"),
    [
        ("tracecontext", "trace parent\n"),
        ("none", "no parent\n"),
        ("jane", "--traces or RERANK_TRACES is 'otlp', but a variable OTEL_… has a wrong value: Propagator jane"),
    ],
)
def test_propagators_are_those_of_the_variable(propagators: str, expected: str) -> None:
    """OTEL_PROPAGATORS is read once, at the import of the API: a process of its own for each value."""
    code = (
        "from rerank_service.errors import SettingsInvalid\n"
        "from rerank_service.tracing.provider import tracer_provider\n"
        "try:\n"
        "    tracer_provider().shutdown()\n"
        "    from opentelemetry import propagate, trace\n"
        f"    context = propagate.extract({{'traceparent': '{SAMPLED}'}})\n"
        "    print('trace' if trace.get_current_span(context).get_span_context().is_valid else 'no', 'parent')\n"
        "except SettingsInvalid as error: print(error)\n"
    )
    variables = os.environ | {"OTEL_PROPAGATORS": propagators, "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=True)
    assert ran.stdout.startswith(expected)
