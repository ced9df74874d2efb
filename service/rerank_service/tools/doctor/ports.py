"""Checks of the ports and Unix sockets that a server would listen on."""

import os
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rerank_service.errors import OperatorError
from rerank_service.tools.doctor.finding import Finding, ok, wrong

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


def socket_folder_problem(folder: Path) -> Finding | None:
    """Return why a server cannot make Unix sockets in a folder; None if it can."""
    if not folder.is_dir():
        fix = f"make the folder: mkdir -p {shlex.quote(str(folder))}"
        return wrong("--host", f"unix:{folder} is not an existing folder", fix)
    if not os.access(folder, os.W_OK | os.X_OK):
        return wrong("--host", f"this user cannot write to unix:{folder}", "give the user of the server access to it")
    return None


def socket_finding(path: Path, check_free: Callable[[], None], answers: Callable[[], bool]) -> Finding:
    """Return whether a server can make a Unix socket. `check_free` raises OperatorError if not; `answers` is as in
    `port_finding`."""
    try:
        check_free()
    except OperatorError as error:
        if answers():
            return ok("--host", f"{path} is in use, and a rerank server with these settings runs here")
        return wrong(
            "--host",
            str(error),
            "give another folder, or remove the file, or end the process that listens on it (`ss -lxp` shows it)",
        )
    return ok("--host", f"{path} can be made")
