"""Ask a port or a Unix socket whether a rerank server listens there."""

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

_TIMEOUT_SECONDS = 2.0
_HTTP2_FRAME_HEAD, _HTTP2_SETTINGS = 9, 4
"""Length of the head of a frame, and the type of a frame of settings (RFC 9113, 4.1 and 6.5)."""
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, _HTTP2_SETTINGS, 0, 0, 0, 0, 0))
Connect = Callable[[], socket.socket]
"""Returns a connection to a server, with TLS if the server requires it. Raises OSError."""
Answers = Callable[[Connect], bool]
"""Returns whether a program answers as a rerank server would."""


def tcp_connection(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """Return a connection to a port. `context`: the port requires TLS.

    Raises:
        OSError: nothing listens, or the TLS handshake fails.
    """
    plain = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
    if context is None:
        return plain
    with plain:  # after the handshake, it belongs to the connection with TLS
        return context.wrap_socket(plain, server_hostname=host)


def unix_connection(path: Path) -> socket.socket:
    """Return a connection to a Unix socket.

    Raises:
        OSError: nothing listens.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_TIMEOUT_SECONDS)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def rest_answers(connect: Connect) -> bool:
    """Return whether a server responds to /health/live."""
    return _response(connect, "/health/live")[0] == HTTPStatus.OK


def metrics_answer(connect: Connect) -> bool:
    """Return whether a server responds to /metrics with those of a rerank server."""
    status, body = _response(connect, "/metrics")
    return status == HTTPStatus.OK and b"rerank_" in body


def grpc_answers(connect: Connect) -> bool:
    """Return whether a server answers the beginning of HTTP/2 with its settings."""
    try:
        with connect() as connection:
            connection.sendall(_HTTP2_PREFACE)
            head = connection.recv(_HTTP2_FRAME_HEAD)
            return len(head) == _HTTP2_FRAME_HEAD and head[3] == _HTTP2_SETTINGS
    except OSError:
        return False


def _response(connect: Connect, path: str) -> tuple[int, bytes]:
    """Return status and body; 0 without a response."""
    connection = http.client.HTTPConnection("localhost")
    try:
        connection.sock = connect()
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def own_server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return a context for a server on this machine: it is not verified, and gets its own certificate if it asks."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with suppress(OSError):  # also ssl.SSLError; another check reports the files
        context.load_cert_chain(cert, key, password="")  # never ask on the terminal
    return context
