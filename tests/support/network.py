"""IPv6 on this machine, connections to addresses, and the TCP connections that the kernel has."""

import os
import socket
from pathlib import Path

import pytest


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


CLOSED_SECONDS = 30.0
"""Time in which a server with a short --header-timeout closes a connection. Without this option, gRPC and asyncio do so
by themselves, after 60 s at the earliest."""
HAS_IPV6 = _has_ipv6()
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback address")


def accepts(host: str, port: int) -> bool:
    """Return whether a server accepts a TCP connection."""
    try:
        socket.create_connection((host, port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


def server_state(port: int, client_port: int) -> str | None:
    """Return the state of the server's side of a connection: 01 if it is established. None: the kernel has none.

    Source: /proc/net/tcp.
    """
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    return next(
        (line[3] for line in lines if line[1].endswith(f":{port:04X}") and line[2].endswith(f":{client_port:04X}")),
        None,
    )


def user_timeouts(port: int) -> list[int]:
    """Return TCP_USER_TIMEOUT, in milliseconds, of each connection that this process has accepted on a port."""
    timeouts = []
    for file in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(file.name))) as each:
                each.getpeername()  # a listening socket has none
                if each.family != socket.AF_UNIX and each.getsockname()[1] == port:
                    timeouts.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        except OSError:  # a file, or closed meanwhile
            continue
    return timeouts
