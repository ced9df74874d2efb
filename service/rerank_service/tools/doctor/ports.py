"""Checks of the ports and Unix sockets that a server would listen on."""

import http.client
import os
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rerank_service.errors import OperatorError
from rerank_service.tools.doctor.finding import Finding, ok, wrong

_TIMEOUT_SECONDS = 2.0
Reserve = Callable[[], AbstractContextManager[int]]
"""Hold a port on all addresses during a block. Raises OperatorError if it is in use or not allowed."""


def port_finding(flag: str, port: int, reserve: Reserve, *, runs: bool) -> Finding:
    """Return whether a port is free. `runs`: a server with these settings responds, so its ports are in use."""
    try:
        with reserve():
            return ok(flag, f"{port} is free" if port else "0: the system chooses a free port")
    except OperatorError as error:
        if runs:
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


def server_runs(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Return whether a server responds to /health/live. `context`: the port requires TLS."""
    connection = (
        http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    )
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def own_server_context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return a context for a server on this machine: it is not verified, and gets its own certificate if it asks."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(cert, key)
    return context
