"""Addresses that both servers listen on, from the setting `--host`."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import setting_of, wrong_host

ANY_IPV4 = "0.0.0.0"
ANY = "::"
"""Every interface, by IPv6 and by IPv4."""
UNIX = "unix:"
_LOOPBACK_IPV4, _LOOPBACK_IPV6 = "127.0.0.1", "::1"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IP address of this machine."""

    ip: str
    """Without brackets. A link-local address has a zone, such as fe80::1%eth0."""

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can connect."""
        return ipaddress.ip_address(self.ip).is_loopback

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET

    def text(self, port: int) -> str:
        """Return `ip:port`, with an IPv6 address in brackets."""
        return address(self.ip, port)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A folder with one Unix socket for each protocol."""

    folder: Path

    @property
    def is_loopback(self) -> bool:
        """Return True: only this machine can connect."""
        return True

    def path(self, protocol: str) -> Path:
        """Return the file of a protocol, `grpc` or `rest`: `grpc.sock` or `rest.sock`."""
        return self.folder / f"{protocol}.sock"

    @property
    def grpc_target(self) -> str:
        """Target of gRPC. gRPC reads it as a URI: `%`, `#` and `?` of the path are encoded."""
        return f"{UNIX}{quote(bytes(self.path('grpc')))}"


ListenAddress = TcpAddress | UnixAddress


def address(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unix_address(host: str) -> UnixAddress:
    """Return the address of `unix:FOLDER` or `unix://FOLDER`."""
    return UnixAddress(Path(host.removeprefix(UNIX).removeprefix("//")).absolute())


def client_target(host: str, grpc_port: int) -> str:
    """Return the gRPC target by which a client on this machine reaches a server that listens on `host`."""
    if host.startswith(UNIX):
        return unix_address(host).grpc_target
    return address(_reachable(host), grpc_port)


def local_address(listened: str) -> str:
    """Return the address by which a client on this machine reaches `listened`, which is `ip:port` or `unix:FILE`."""
    if listened.startswith(UNIX):
        return listened
    host, _, port = listened.rpartition(":")
    return address(_reachable(host.strip("[]")), int(port))


def _reachable(host: str) -> str:
    """Return the host to connect to. `::` and 0.0.0.0 name no host: without IPv6, no client can connect to `::`."""
    with suppress(ValueError):
        host = _literal(host).ip
    if host == ANY and not _is_usable(TcpAddress(_LOOPBACK_IPV4)):
        return _LOOPBACK_IPV6
    return _LOOPBACK_IPV4 if host in (ANY, ANY_IPV4) else host


def listen_addresses(hosts: Sequence[str], *, flag: str = "--host") -> tuple[ListenAddress, ...]:
    """Return the addresses of hosts, each once, and none that another one includes.

    `::` means IPv6 and IPv4, or IPv4 only if the kernel has no IPv6. `localhost` means both loopback addresses. Another
    name means all its addresses. Of the addresses of a name, those that this machine does not have are left out. `flag`
    is the setting of the hosts, for messages.

    Raises:
        SettingsInvalid: a name has no address of this machine.
    """
    found = dict.fromkeys(each for host in hosts for each in _addresses(host, flag))
    ips = {each.ip for each in found if isinstance(each, TcpAddress)}

    def is_included(each: ListenAddress) -> bool:
        if not isinstance(each, TcpAddress) or each.ip == ANY:
            return False
        return ANY in ips or (ANY_IPV4 in ips and each.family is socket.AF_INET and each.ip != ANY_IPV4)

    return tuple(each for each in found if not is_included(each))


def _addresses(host: str, flag: str) -> Iterator[ListenAddress]:
    if host.startswith(UNIX):
        yield unix_address(host)
        return
    with suppress(ValueError):
        yield _literal(host)
        return
    usable = [each for each in _resolved(host, flag) if _is_usable(each)]
    if not usable:
        raise unusable_host(host, "this machine has no such address", flag)
    yield from usable


def _literal(host: str) -> TcpAddress:
    ip = ipaddress.ip_address(host)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if str(ip) == ANY and not _is_usable(TcpAddress(ANY)):
        return TcpAddress(ANY_IPV4)
    return TcpAddress(str(ip))


def _resolved(name: str, flag: str) -> list[TcpAddress]:
    if name.lower() == "localhost":  # some hosts files have only one of its addresses
        return [TcpAddress(_LOOPBACK_IPV4), TcpAddress(_LOOPBACK_IPV6)]
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise unusable_host(name, str(error.strerror if isinstance(error, OSError) else error), flag) from error
    return [TcpAddress(str(sockaddr[0])) for _, _, _, _, sockaddr in found]


def unusable_host(host: str, reason: str, flag: str = "--host") -> SettingsInvalid:
    """Return the error of an address that the server cannot listen on. `flag` is the setting of the address."""
    fix = "give addresses of this machine, such as 127.0.0.1, or :: for all"
    problem = f"the server cannot listen on it: {reason}; {fix}"
    return SettingsInvalid(wrong_host(host, problem, setting_of(flag)))


def _is_usable(tried: TcpAddress) -> bool:
    """Return whether this machine has an address. A kernel without IPv6 has no IPv6 address."""
    try:
        with socket.socket(tried.family, socket.SOCK_STREAM) as probe:
            probe.bind((tried.ip, 0))
    except OSError:
        return False
    return True
