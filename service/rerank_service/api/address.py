"""Addresses to listen on."""

import errno
import ipaddress
import socket
from contextlib import suppress

_PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)


def address(host: str, port: int) -> str:
    """Host and port; an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to what listens on a host."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def bound(host: str, port: int, *, flag: str) -> socket.socket:
    """Return a TCP socket that is bound to an address and listens. `flag` is the setting of the port.

    Raises:
        OSError: the address cannot be listened on; the message names the address, the reason and the setting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it an answer, which is written in two parts,
    # waits 40 ms for the client's delayed acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        wrong = flag if error.errno in _PORT_ERRORS else "--host"
        raise OSError(
            f"cannot listen on {address(host, port)}: {error.strerror}; choose another with {wrong}"
        ) from error
    return listener
