"""Address of the client, also behind proxies: `X-Forwarded-For` and `Forwarded` (RFC 7239).

Any client can send these headers. So they count only if the connection comes from a trusted proxy, and only back to the
first address that is not one.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED_FOR = re.compile(r'(?:^|[;,])\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_MAX_CHARS = 4096
"""Characters at the end of a header that are read, enough for 80 proxies. A caller may send 64 KiB before them."""
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,15})?", re.ASCII)
"""Form of an address. Python accepts any text after the `%` of an IPv6 address, such as line breaks."""
_UNIX_PEER = "127.0.0.1"
"""A Unix socket counts as a connection from this machine."""


class TrustedProxies:
    """The proxies whose forwarding headers count."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """`addresses` are IP addresses and networks, such as 10.0.0.0/8. `*` trusts every address."""
        self._all = "*" in addresses
        self._networks: list[Network] = [ipaddress.ip_network(each, strict=False) for each in addresses if each != "*"]
        self._is_trusted = lru_cache(maxsize=1024)(self._compute_trust)

    def client(self, peer: str, headers: Callable[[], Iterable[tuple[str, str]]]) -> str:
        """Return the IP address of the client.

        Args:
            peer: IP address of the connection; empty for a Unix socket.
            headers: returns the HTTP headers or gRPC metadata, with names in lower case. It is called for a trusted
                proxy only. A name may occur several times.
        """
        if not self._is_trusted(peer or _UNIX_PEER):
            return peer
        client = peer
        for address in reversed(list(_forwarded(list(headers())))):
            if _parsed(address) is None:
                break  # `unknown`, or a name that a proxy hides its client behind
            client = address
            if not self._is_trusted(address):
                break
        return client

    def _compute_trust(self, address: str) -> bool:
        ip = _parsed(address)
        return self._all or (ip is not None and any(ip in each for each in self._networks))


def peer_address(peer: str) -> str:
    """Return the IP address of a peer in the form of gRPC, such as `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`.

    Return an empty string for a Unix socket.
    """
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return _unmapped(_host(rest.replace("%5B", "[").replace("%5D", "]")))


def http_peer(client: tuple[str, int] | None) -> str:
    """Return the IP address of an HTTP connection; an empty string for a Unix socket."""
    return _unmapped(client[0]) if client else ""


def _unmapped(address: str) -> str:
    """Return an IPv4 address that IPv6 carries, such as ::ffff:10.0.0.1, as IPv4."""
    if not address.startswith("::ffff:"):
        return address
    ip = _parsed(address)
    return str(ip) if ip is not None else address


def _forwarded(headers: Sequence[tuple[str, str]]) -> Iterable[str]:
    """Yield the addresses of the headers, the last proxy's client last. `X-Forwarded-For` has precedence."""
    if sent := _joined(headers, "x-forwarded-for"):
        yield from (_unmapped(_host(part.strip())) for part in _end(sent).split(","))
    elif sent := _joined(headers, "forwarded"):
        yield from (_unmapped(_host(part.strip('"'))) for part in _FORWARDED_FOR.findall(_end(sent)))


def _joined(headers: Sequence[tuple[str, str]], name: str) -> str:
    """Return the value of a header. Several headers of a name are one list (RFC 9110, 5.3): HAProxy adds its own after
    that of the client."""
    return ",".join(value for each, value in headers if each == name)


def _end(header: str) -> str:
    """Return the last elements of a header."""
    return header if len(header) <= _MAX_CHARS else header[-_MAX_CHARS:].partition(",")[2]


def _host(text: str) -> str:
    """Remove the port: `[::1]:80` is `::1`, and `10.0.0.1:80` is `10.0.0.1`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not _ADDRESS.fullmatch(address):
        return None
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
