"""Receivers of OpenTelemetry traces in the test process, over gRPC and HTTP, and the spans that they received."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as a receiver gets it."""

    message: trace_pb2.Span
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        """The name."""
        return self.message.name

    @property
    def is_error(self) -> bool:
        """True if the status is an error."""
        return self.message.status.code == trace_pb2.Status.STATUS_CODE_ERROR

    @property
    def ids(self) -> tuple[str, str]:
        """Ids of trace and span, in hexadecimal digits."""
        return self.message.trace_id.hex(), self.message.span_id.hex()


@dataclass(frozen=True, slots=True)
class OtlpReceiver:
    """A receiver that keeps what it gets."""

    endpoint: str
    requests: list[pb.ExportTraceServiceRequest] = field(default_factory=list)

    def spans(self) -> list[ReceivedSpan]:
        """Return all spans that arrived, in the order in which they ended."""
        return [
            ReceivedSpan(span, _attributes(span.attributes), _attributes(each.resource.attributes))
            for request in self.requests
            for each in request.resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        ]

    def take(self) -> list[ReceivedSpan]:
        """Return all spans that arrived since the last call."""
        spans = self.spans()
        self.requests.clear()
        return spans


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    assert kind is not None
    return getattr(pair.value, kind)


@contextmanager
def grpc_receiver() -> Iterator[OtlpReceiver]:
    """Run a receiver over gRPC during the block."""
    server = grpc.server(ThreadPoolExecutor(2))
    receiver = OtlpReceiver(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")

    class Service(pb_grpc.TraceServiceServicer):
        def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:  # noqa: N802 - the name of the method
            receiver.requests.append(request)
            return pb.ExportTraceServiceResponse()

    pb_grpc.add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()


@contextmanager
def http_receiver() -> Iterator[OtlpReceiver]:
    """Run a receiver over HTTP during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body
            if self.path == "/v1/traces":
                receiver.requests.append(pb.ExportTraceServiceRequest.FromString(body))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = OtlpReceiver(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield receiver
        finally:
            server.shutdown()
