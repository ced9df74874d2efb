"""Metrics and access log of a server process."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from rerank.client import RerankClient
from support.http2 import START
from support.otlp import grpc_receiver
from support.process import Start, environment
from support.rest_calls import get, post

BODY = {"query": "0", "documents": ["1", "7"]}


def _value(url: str, name: str, **headers: str) -> float | None:
    """Return the sum of a metric's series; None if it has none."""
    response = get(f"{url}/metrics", headers=headers)
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    values = [sample.value for family in families for sample in family.samples if sample.name == name]
    return sum(values) if values else None


def test_metrics_have_a_port_of_their_own(start: Start, small_folder: Path) -> None:
    """It needs no key, and the REST port then has no metrics."""
    server = start("--model", str(small_folder), "--metrics-port", "0", RERANK_API_KEYS="sesame")
    url = str(server.ready["metrics"]).removesuffix("/metrics")
    with RerankClient(server.grpc, api_key="sesame") as client:
        client.rerank("0", ["1", "7"])
    assert _value(url, "rerank_pairs_total") == 2
    assert _value(url, "process_open_fds") is not None
    assert _value(url, "rerank_max_connections") == 2000
    assert _value(url, "rerank_ready") == 1
    key = {"authorization": "Bearer sesame"}
    assert get(f"{server.rest}/metrics", headers=key).status_code == 404
    assert get(f"{url}/v1/models").status_code == 404


def test_liveness_does_not_depend_on_the_connections_of_callers(start: Start, small_folder: Path) -> None:
    """If callers hold all connections of both ports, the probe still passes: Kubernetes must not kill the pod."""
    server = start("--model", str(small_folder), "--metrics-port", "0", "--max-connections", "1")
    url = str(server.ready["metrics"]).removesuffix("/metrics")
    request = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    with ExitStack() as held:
        for address, sent in ((server.grpc, START), (server.rest.removeprefix("http://"), request)):
            assert _first_byte(held, address, sent)
            assert not _first_byte(held, address, sent)
        assert get(f"{url}/health/live").status_code == 200


def _first_byte(held: ExitStack, address: str, sent: bytes) -> bytes:
    """Return the first byte that the server sends on a new connection; none if it closes the connection.

    `held` keeps the connection open.
    """
    host, _, port = address.rpartition(":")
    client = held.enter_context(socket.create_connection((host, int(port))))
    with suppress(ConnectionError):
        client.sendall(sent)
        return client.recv(1)
    return b""


def test_metrics_are_on_the_rest_port_by_default(start: Start, small_folder: Path) -> None:
    """From the start. With keys, they require one."""
    server = start("--model", str(small_folder), RERANK_API_KEYS="sesame")
    assert get(f"{server.rest}/metrics").status_code == 401
    assert _value(server.rest, "rerank_model_info", authorization="Bearer sesame") == 1


def test_every_request_has_one_line(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """Also an unknown path. Behind a proxy on this machine, the line has the client's address."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {name: search, key: sesame}\n")
    server = start("--model", str(small_folder), RERANK_API_KEYS_FILE=str(keys))
    sent = {"authorization": "Bearer sesame", "x-forwarded-for": "203.0.113.7", "x-request-id": "mine"}
    post(f"{server.rest}/v2/rerank", json=BODY, headers=sent)
    get(f"{server.rest}/nowhere?query=Jane")
    get(f"{server.rest}/health/ready")
    with RerankClient(server.grpc, api_key="sesame") as client:
        client.rerank("0", ["1"])
    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    first, *others = [line for line in server.log() if line["event"] == "request finished"]
    facts = ("request_id", "call", "key", "client", "status", "documents", "model")
    assert [first[name] for name in facts] == ["mine", "/v2/rerank", "search", "203.0.113.7", 200, 2, "small"]
    assert {line["call"]: line["status"] for line in others} == {"/nowhere": 404, "rerank.v1.Rerank/Rerank": "OK"}
    assert "Jane" not in str(others)


def test_access_log_off_and_errors(start: Start, small_folder: Path) -> None:
    """`errors` has the line of the failed request only."""
    for mode, statuses in (("off", []), ("errors", [404])):
        server = start("--model", str(small_folder), "--access-log", mode)
        post(f"{server.rest}/v2/rerank", json=BODY)
        get(f"{server.rest}/nowhere")
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0
        assert [line["status"] for line in server.log() if line["event"] == "request finished"] == statuses


def test_last_traces_are_sent_before_the_end(start: Start, small_folder: Path) -> None:
    """The log line of the request has the id of its trace."""
    with grpc_receiver() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        server = start("--model", str(small_folder), "--traces", "otlp", **variables)
        post(f"{server.rest}/v2/rerank", json=BODY)
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0
        [line] = [line for line in server.log() if line["event"] == "request finished"]
        spans = receiver.spans()
    assert {span.name for span in spans} == {"POST /v2/rerank", "admission", "tokenize", "queue", "inference"}
    assert {span.ids[0] for span in spans} == {line["trace_id"]}


def test_receiver_that_hangs_does_not_delay_the_end(start: Start, small_folder: Path) -> None:
    """The last traces are lost when the grace period is over. The exit status is 0."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        arguments = ("--model", str(small_folder), "--traces", "otlp", "--grace", "0.2")
        server = start(*arguments, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        assert post(f"{server.rest}/v2/rerank", json=BODY).status_code == 200
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0
    assert "traces lost" in [line["event"] for line in server.log()]


def test_traces_without_the_extra_end_the_start(small_folder: Path) -> None:
    """One line with the command that installs it, and exit status 2."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from rerank_service.__main__ import main; sys.exit(main())"
    )
    ports = ("--grpc-port", "0", "--rest-port", "0")
    serve = [sys.executable, "-c", code, "serve", "--model", str(small_folder), *ports, "--traces", "otlp"]
    ended = subprocess.run(serve, capture_output=True, text=True, timeout=60, env=environment())
    [line] = ended.stderr.splitlines()
    assert "--traces or RERANK_TRACES is 'otlp', but OpenTelemetry is not installed. Install the extra" in line
    assert "pip install" in line
    assert "[otel]" in line
    assert ended.returncode == 2
