"""HTTP connections to a rerank server."""

import re
import socket
import ssl
from urllib.request import getproxies, proxy_bypass

import httpx

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.client_tls import ClientTls

DEADLINE_MARGIN_SECONDS = 0.5
"""Wait beyond the deadline of a call, so that the server's own deadline error arrives first."""
_CONNECT_SECONDS = 20.0
"""Maximum time until a connection is open."""
_UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""By default, httpx lets calls beyond 100 wait, and closes connections beyond 20 after each call."""
_PROBES = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
"""A server whose machine is gone is noticed after 30 s + 4 * 5 s without a packet, as over gRPC. Some systems lack an
option."""
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _PROBES.items() if hasattr(socket, name)),
]
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


def parse_url(text: str) -> httpx.URL:
    """Return a URL.

    Raises:
        SettingsInvalid: the text is not a URL.
    """
    try:
        url = httpx.URL(text)
        url.host  # noqa: B018 - raises if the host name cannot be decoded
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsInvalid(f"{text} is not a URL: {error}") from error
    return url


def base_url(text: str) -> httpx.URL:
    """Return a URL without its path."""
    return parse_url(text).copy_with(raw_path=b"/")


def connect(
    url: str, api_key: str | None, tls: ClientTls | None = None, *, connect_seconds: float = _CONNECT_SECONDS
) -> httpx.AsyncClient:
    """Return an HTTP client of the server at a URL, with any number of connections.

    Connecting ends after `connect_seconds`, or 20 s if that is less. A call has no deadline: a timeout of httpx begins
    anew with each part of a response, so callers use `asyncio.timeout`. A call that waits for its response ends if the
    machine of the server is gone for 50 s.
    """
    base = base_url(url)
    is_loopback = bool(_LOOPBACK.fullmatch(base.host))
    return httpx.AsyncClient(
        base_url=base,
        timeout=httpx.Timeout(None, connect=min(connect_seconds, _CONNECT_SECONDS)),
        transport=httpx.AsyncHTTPTransport(
            verify=_tls_context(base, tls),
            trust_env=not is_loopback,
            limits=_UNLIMITED,
            proxy=None if is_loopback else _proxy(base),  # loopback addresses never go through a proxy
            socket_options=_KEEPALIVE,
        ),
        headers={"authorization": f"Bearer {api_key}"} if api_key else {},
    )


def _tls_context(url: httpx.URL, tls: ClientTls | None) -> ssl.SSLContext | bool:
    """Return the context of TLS; True for the default one of httpx. The one for http:// trusts no authority: to read
    the well-known ones takes 40 ms."""
    if tls:
        return tls.context()
    return url.scheme == "https" or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _proxy(url: httpx.URL) -> str | None:
    """Return the proxy for a URL by the environment variables. httpx does not read them for a transport with options of
    its own."""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _is_excepted(url, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(url: httpx.URL, no_proxy: str) -> bool:
    """Return whether the variable `no_proxy` has an entry for a URL: its host, its host and port, or `*`.

    `proxy_bypass` finds IPv6 addresses by the host only, and ports by the host and port only. It takes `*` as the only
    entry.
    """
    has_all = "*" in (entry.strip() for entry in no_proxy.split(","))
    return bool(has_all or proxy_bypass(url.host) or proxy_bypass(url.netloc.decode()))
