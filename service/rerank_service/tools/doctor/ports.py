"""Checks of the ports and Unix sockets that a server would listen on."""

import http.client
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from http import HTTPStatus
from pathlib import Path

from rerank_service.errors import OperatorError
from rerank_service.tools.doctor.finding import Finding, ok, wrong

_TIMEOUT_SECONDS = 2.0
_HTTP2_FRAME_HEAD, _HTTP2_SETTINGS = 9, 4
"""Length of the head of a frame, and the type of a frame of settings (RFC 9113, 4.1 and 6.5)."""
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, _HTTP2_SETTINGS, 0, 0, 0, 0, 0))
Reserve = Callable[[], AbstractContextManager[int]]
"""Hold a port on all addresses during a block. Raises OperatorError if it is in use or not allowed."""


def port_finding(flag: str, port: int, reserve: Reserve, answers: Callable[[], bool]) -> Finding:
    """Return whether a port is free. `answers` says whether a program answers there as a rerank server would: then the
    server with these settings runs already."""
    try:
        with reserve():
            return ok(flag, f"{port} is free" if port else "0: the system chooses a free port")
    except OperatorError as error:
        if answers():
            return ok(flag, f"{port} is in use, and a rerank server with these settings runs here")
        return wrong(
            flag,
            str(error),
            f"give another address or {flag}, or end the process that uses the port (`ss -ltnp` shows it)",
        )


def socket_folder_finding(folder: Path) -> Finding:
    """Return whether a server can make its Unix sockets in a folder."""
    if not folder.is_dir():
        return wrong("--host", f"unix:{folder} is not an existing folder", f"make the folder: mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return wrong("--host", f"this user cannot write to unix:{folder}", "give the user of the server access to it")
    return ok("--host", f"the folder of unix:{folder} can be written")


def rest_answers(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Return whether a server responds to /health/live. `context`: the port requires TLS."""
    return _response(host, port, context, "/health/live")[0] == HTTPStatus.OK


def metrics_answer(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Return whether a server responds to /metrics with those of a rerank server."""
    status, body = _response(host, port, context, "/metrics")
    return status == HTTPStatus.OK and b"rerank_" in body


def grpc_answers(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Return whether a server answers the beginning of HTTP/2 with its settings."""
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as plain:
            connection = plain if context is None else context.wrap_socket(plain, server_hostname=host)
            with connection:
                connection.sendall(_HTTP2_PREFACE)
                head = connection.recv(_HTTP2_FRAME_HEAD)
                return len(head) == _HTTP2_FRAME_HEAD and head[3] == _HTTP2_SETTINGS
    except OSError:
        return False


def _response(host: str, port: int, context: ssl.SSLContext | None, path: str) -> tuple[int, bytes]:
    """Return status and body; 0 without a response."""
    connection = (
        http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    )
    try:
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
