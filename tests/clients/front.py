"""A front before the servers: keeps what passes, and lets one that refuses answer calls of a test.

Of the standard library only, since it runs in every client's environment.
"""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True, slots=True)
class Call:
    """What a client sent and got."""

    server: str
    """Which server answered: ready, open, overloaded or draining."""
    method: str
    path: str
    sent_headers: Mapping[str, str]
    """Their names in lower case."""
    sent: str
    status: int
    headers: Mapping[str, str]
    """As the server sent them."""
    body: str


class Front:
    """The running front."""

    def __init__(self, servers: Mapping[str, str], port: int) -> None:
        self._servers = servers
        self._lock = threading.Lock()
        self._turns: list[str] = []
        self.url = f"http://127.0.0.1:{port}"
        self.calls: list[Call] = []
        """What passed."""

    def clear(self) -> None:
        """Forget what passed, and let the server that is ready answer."""
        with self._lock:
            self.calls.clear()
            self._turns.clear()

    def next(self, *servers: str) -> None:
        """Let the next calls be answered by these, one each: overloaded, draining or open."""
        self._turns.extend(servers)

    def pass_on(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Ask the server whose turn it is, and keep what it says."""
        with self._lock:
            server = self._turns.pop(0) if self._turns else "ready"
        address = urlsplit(self._servers[server]).netloc
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            text, got = answer.read().decode(), dict(answer.getheaders())
            call = Call(server, method, path, headers, body.decode(), answer.status, got, text)
        finally:
            connection.close()
        with self._lock:
            self.calls.append(call)
        return call


@contextmanager
def fronting(servers: Mapping[str, str]) -> Iterator[Front]:
    """Run a front on a port of the system's choice."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:  # the name is http.server's
            length = int(self.headers.get("content-length", 0))
            sent = {name.lower(): value for name, value in self.headers.items()}
            sent = {name: value for name, value in sent.items() if name not in _OF_A_CONNECTION}
            call = front.pass_on(self.command, self.path, sent, self.rfile.read(length))
            self.send_response_only(call.status)
            for name, value in call.headers.items():
                if name not in _OF_A_CONNECTION:
                    self.send_header(name, value)
            body = call.body.encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - likewise

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            """Nothing: what passed is kept."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: a client that goes away is not ours to report."""

    with Server(("127.0.0.1", 0), Handler) as server:
        front = Front(servers, server.server_port)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield front
        finally:
            server.shutdown()
            serving.join()
