"""Network addresses that the server listens on."""

import errno
import ipaddress
import socket
from contextlib import suppress

_PORT_ERRORS = (errno.EADDRINUSE, errno.EACCES)


def address(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to a host: 127.0.0.0/8, ::1 or localhost."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def listening_socket(host: str, port: int, *, flag: str) -> socket.socket:
    """Return a TCP socket that listens on an address. `flag` is the setting of the port, such as `--rest-port`.

    Raises:
        OSError: the address is in use or not allowed. The message has the address, the reason and the setting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the socket names its protocol. Without it, the second part of a response waits
    # 40 ms for the client's delayed acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        setting = flag if error.errno in _PORT_ERRORS else "--host"
        raise OSError(
            f"cannot listen on {address(host, port)}: {error.strerror}; choose another with {setting}"
        ) from error
    return listener
