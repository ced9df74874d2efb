"""HTTP proxy between clients and servers. It records calls, and can pass a call to a server that refuses it.

It uses the standard library only, because it runs in every client's environment.
"""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request and its response."""

    server: str
    """Kind of the server: ready, open, small, overloaded, failing or draining."""
    method: str
    path: str
    sent_headers: Mapping[str, str]
    """Request headers, with names in lower case."""
    sent: str
    status: int
    headers: Mapping[str, str]
    """Response headers, as the server sent them."""
    body: str


class RecordingProxy:
    """A running proxy."""

    def __init__(self, servers: Mapping[str, str], port: int) -> None:
        self._servers = servers
        self._lock = threading.Lock()
        self._turns: list[str] = []
        self.url = f"http://127.0.0.1:{port}"
        self.calls: list[Call] = []
        """Recorded calls."""

    def clear(self) -> None:
        """Delete the recorded calls, and pass calls to the ready server again."""
        with self._lock:
            self.calls.clear()
            self._turns.clear()

    def next(self, *servers: str) -> None:
        """Pass the next calls to these servers, one call each. `Servers.rest` has their names."""
        self._turns.extend(servers)

    def pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Pass a call to its server and record it."""
        with self._lock:
            server = self._turns.pop(0) if self._turns else "ready"
        address = urlsplit(self._servers[server]).netloc
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            text, received = response.read().decode(), dict(response.getheaders())
            call = Call(
                server=server,
                method=method,
                path=path,
                sent_headers=headers,
                sent=body.decode(),
                status=response.status,
                headers=received,
                body=text,
            )
        finally:
            connection.close()
        with self._lock:
            self.calls.append(call)
        return call


@contextmanager
def recording_proxy(servers: Mapping[str, str]) -> Iterator[RecordingProxy]:
    """Run a proxy on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:  # a name of http.server
            length = int(self.headers.get("content-length", 0))
            sent = {name.lower(): value for name, value in self.headers.items()}
            sent = {name: value for name, value in sent.items() if name not in _HOP_BY_HOP}
            call = recorder.pass_on(self.command, self.path, sent, self.rfile.read(length))
            self.send_response_only(call.status)
            for name, value in call.headers.items():
                if name not in _HOP_BY_HOP:
                    self.send_header(name, value)
            body = call.body.encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - a name of http.server

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - a name of http.server
            """Log nothing: calls are recorded."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignore clients that close their connection."""

    with Server(("127.0.0.1", 0), Handler) as server:
        recorder = RecordingProxy(servers, server.server_port)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            serving.join()
