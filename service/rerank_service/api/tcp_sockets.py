"""TCP sockets on several addresses with the same port."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from rerank_service.api.address import ANY, TcpAddress, unusable_host
from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import setting_of, wrong_value

_PORT_FIXES = {
    errno.EADDRINUSE: "give another port, or end the process that uses it",
    errno.EACCES: "give a port from 1024 on, or allow the process to use it (CAP_NET_BIND_SERVICE)",
}
"""Next steps by error, if the port is the reason. Other errors are those of the address."""
_BACKLOG = 2048
_MAX_TRIES = 100
"""Number of ports to try until one is free on all addresses."""


def listening_sockets(
    addresses: Sequence[TcpAddress], port: int, *, flag: str, host_flag: str = "--host"
) -> list[socket.socket]:
    """Return a socket for each address that listens on one port, in the order of the addresses.

    `port` 0 lets the system choose. `flag` is the setting of the port, such as `--rest-port`; `host_flag` is that of
    the addresses.

    Raises:
        SettingsInvalid: an address is in use or not allowed.
    """
    sockets = _bound_sockets(addresses, port, flag, host_flag)
    for listener, each in zip(sockets, addresses, strict=True):
        try:
            listener.listen(_BACKLOG)
        except OSError as error:  # another process has bound the port at the same time, and listens already
            _close(sockets)
            raise _unusable(each, port, flag, host_flag, error) from error
    return sockets


@contextmanager
def reserved_port(addresses: Sequence[TcpAddress], port: int, *, flag: str, host_flag: str = "--host") -> Iterator[int]:
    """Yield a port that is free on all addresses, and hold it until the block has listened on it.

    The sockets of the block need SO_REUSEADDR. Parameters and errors are those of `listening_sockets`.
    """
    sockets = _bound_sockets(addresses, port, flag, host_flag)
    try:
        yield sockets[0].getsockname()[1] if sockets else port
    finally:
        _close(sockets)


@contextmanager
def ipv6_in_use(port: int) -> Iterator[None]:
    """Hold a port of all IPv6 addresses during the block, so that no other socket can be bound to it there."""
    with ExitStack() as held:
        with suppress(OSError):  # no IPv6 here, or another process has the port
            holder = held.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # only with SO_REUSEADDR, the port may still have connections of an earlier server. Only without it, no
            # other socket can be bound. Linux checks the option of a port again when a socket listens
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((ANY, port))
            holder.listen(1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            holder.shutdown(socket.SHUT_RDWR)  # stop to listen; the port stays bound
        yield


def _bound_sockets(addresses: Sequence[TcpAddress], port: int, flag: str, host_flag: str) -> list[socket.socket]:
    for tried in range(_MAX_TRIES):
        sockets: list[socket.socket] = []
        for each in addresses:
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_bound_socket(each, chosen))
            except OSError as error:
                _close(sockets)
                if port == 0 and sockets and error.errno == errno.EADDRINUSE and tried < _MAX_TRIES - 1:
                    break  # the port is free on the first address only: try another
                raise _unusable(each, chosen, flag, host_flag, error) from error
        else:
            return sockets
    raise AssertionError("unreachable: the last try returns or raises")


def _bound_socket(each: TcpAddress, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the socket names its protocol. Without it, the second part of a response waits
    # 40 ms for the client's delayed acknowledgement
    bound = socket.socket(each.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if each.family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, each.ip != ANY)
        # the number of the zone of a link-local address
        ((*_, sockaddr),) = socket.getaddrinfo(each.ip, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        bound.bind(sockaddr)
    except OSError:
        bound.close()
        raise
    return bound


def _unusable(each: TcpAddress, port: int, flag: str, host_flag: str, error: OSError) -> SettingsInvalid:
    fix = _PORT_FIXES.get(error.errno or 0)
    if fix is None:
        return unusable_host(each.ip, str(error.strerror), host_flag)
    problem = f"the server cannot listen on {each.text(port)}: {error.strerror}; {fix}"
    return SettingsInvalid(wrong_value(setting_of(flag), port, problem))


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()
