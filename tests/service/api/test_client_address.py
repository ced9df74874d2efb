"""Address of the client behind proxies."""

import pytest

from rerank_service.api.client_address import TrustedProxies, http_peer, peer_address

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, PROXY),
        ({"x-forwarded-for": CLIENT}, CLIENT),
        ({"x-forwarded-for": f"{CLIENT}, 10.0.0.2"}, CLIENT),
        ({"x-forwarded-for": f"1.2.3.4, {CLIENT},10.9.9.9"}, CLIENT),
        ({"x-forwarded-for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ({"x-forwarded-for": f"{CLIENT}:4711"}, CLIENT),
        ({"x-forwarded-for": "[2001:db8::1]:4711"}, "2001:db8::1"),
        ({"x-forwarded-for": "2001:db8::1"}, "2001:db8::1"),
        ({"x-forwarded-for": "unknown"}, PROXY),
        ({"x-forwarded-for": "Jane <script>, 10.0.0.2"}, "10.0.0.2"),
        ({"x-forwarded-for": ""}, PROXY),
        ({"x-forwarded-for": ",,,"}, PROXY),
        ({"x-forwarded-for": f"::ffff:{CLIENT}"}, CLIENT),
        ({"forwarded": f"for={CLIENT};proto=https"}, CLIENT),
        ({"forwarded": f'for=1.2.3.4, For="{CLIENT}:80";by=10.0.0.2'}, CLIENT),
        ({"forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1"),
        ({"forwarded": "for=_hidden"}, PROXY),
        ({"forwarded": "by=1.2.3.4;host=for.example"}, PROXY),
        ({"x-forwarded-for": "fe80::1%eth0"}, "fe80::1%eth0"),
        ({"x-forwarded-for": "fe80::1%\x1b[2J"}, PROXY),
        ({"x-forwarded-for": "fe80::1%a\nb"}, PROXY),
        ({"x-forwarded-for": "fe80::1%" + "a" * 16}, PROXY),
        ({"forwarded": 'for="[fe80::1%\x9b]"'}, PROXY),
        ({"x-forwarded-for": "\u0661.1.1.1"}, PROXY),
        ({"forwarded": f"for={CLIENT}", "x-forwarded-for": "198.51.100.1"}, "198.51.100.1"),
    ],
)
def test_headers_of_a_trusted_proxy_name_the_client(headers: dict[str, str], client: str) -> None:
    """The last address that is no trusted proxy counts. A client can invent all addresses before it."""
    assert TrustedProxies(["10.0.0.0/8"]).client(PROXY, headers.items) == client


@pytest.mark.parametrize(("name", "form"), [("x-forwarded-for", "{}"), ("forwarded", "for={}")])
def test_several_headers_of_a_name_are_one_list(name: str, form: str) -> None:
    """HAProxy leaves the header of the client, and adds one of its own after it."""
    headers = [(name, form.format("1.2.3.4")), ("host", "a"), (name, form.format(CLIENT))]
    assert TrustedProxies(["10.0.0.0/8"]).client(PROXY, lambda: headers) == CLIENT


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
def test_only_the_end_of_a_long_header_is_read(name: str) -> None:
    """A caller may send 64 KiB of addresses before those of the proxies. The proxies trust all of them here."""
    form = "{}" if name == "x-forwarded-for" else "for={}"
    sent = ",".join(form.format(f"10.{n >> 8}.{n & 255}.1") for n in range(5000))
    proxies = TrustedProxies(["10.0.0.0/8"])
    client = proxies.client(PROXY, {name: sent}.items)
    assert client.startswith("10.18.")  # not 10.0.0.1
    assert proxies._is_trusted.cache_info().currsize < 1000
    assert proxies.client(PROXY, {name: f"{sent},{form.format(CLIENT)}"}.items) == CLIENT


@pytest.mark.parametrize("addresses", [(), ("10.0.0.2",), ("10.1.0.0/16", "::1")])
def test_headers_of_other_connections_do_not_count(addresses: tuple[str, ...]) -> None:
    """Anybody can send them."""
    assert TrustedProxies(addresses).client(PROXY, {"x-forwarded-for": CLIENT}.items) == PROXY


def test_a_star_trusts_every_address() -> None:
    """The first address of the header is then the client."""
    proxies = TrustedProxies(["*"])
    assert proxies.client(CLIENT, {"x-forwarded-for": "1.2.3.4, 198.51.100.1"}.items) == "1.2.3.4"


def test_a_unix_socket_counts_as_loopback() -> None:
    """A proxy in the same pod connects by it."""
    assert TrustedProxies(["127.0.0.1"]).client("", {"x-forwarded-for": CLIENT}.items) == CLIENT
    assert TrustedProxies(["::1"]).client("", {"x-forwarded-for": CLIENT}.items) == ""


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", PROXY),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B::ffff:10.0.0.1%5D:4711", PROXY),
        ("unix:", ""),
        ("unix:/run/rerank/grpc.sock", ""),
    ],
)
def test_peers_of_grpc_are_parsed(peer: str, address: str) -> None:
    """IPv4 in IPv6, as on the address `::`, is IPv4."""
    assert peer_address(peer) == address


def test_peers_of_http_are_parsed() -> None:
    """A Unix socket has none."""
    assert [http_peer(peer) for peer in (("::ffff:10.0.0.1", 1), ("10.0.0.1", 1), None)] == [PROXY, PROXY, ""]
