"""Addresses of one server and of several replicas."""

from typing import Any

import pytest

from rerank._address import channel_target
from rerank._channel import channel_options
from rerank.client import AsyncRerankClient, RerankClient


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("rerank:50051", "rerank:50051"),
        ("grpcs://rerank:50051", "rerank:50051"),
        ("dns:///rerank:50051", "dns:///rerank:50051"),
        ("unix:/run/rerank/grpc.sock", "unix:/run/rerank/grpc.sock"),
        (["grpc://rerank:50051"], "rerank:50051"),
        (["10.0.0.7:1", "10.0.0.8:2"], "ipv4:10.0.0.7:1,10.0.0.8:2"),
        (("grpcs://10.0.0.7:1", "grpcs://10.0.0.8:2"), "ipv4:10.0.0.7:1,10.0.0.8:2"),
        (["[::1]:1", "[fe80::2]:2"], "ipv6:[::1]:1,[fe80::2]:2"),
    ],
)
def test_targets(address: Any, target: str) -> None:
    """gRPC takes several IP addresses as one target."""
    assert channel_target(address) == target


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ([], "address is an empty list"),
        (["10.0.0.7:1", "rerank:1"], "'rerank:1'.*give each as IP:port.*dns:///NAME:PORT alone"),
        (["10.0.0.7:1", "10.0.0.8"], "'10.0.0.8'"),
        (["::1:1", "[::1]:2"], "'::1:1'"),
        (["10.0.0.7:1", "[::1]:1"], "one family"),
        (["grpcs://10.0.0.7:1", "10.0.0.8:1"], "all with grpcs://, or none"),
    ],
    ids=["none", "name", "no-port", "no-brackets", "families", "tls"],
)
def test_wrong_lists_are_rejected(client: Any, address: list[str], words: str) -> None:
    """At once, and not at the first call."""
    with pytest.raises(ValueError, match=words):
        client(address)


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("", ValueError, "give host:port"),
        (" 10.0.0.7:1", ValueError, "without white space"),
        ("10.0.0.7:1\n", ValueError, "without white space"),
        ("http://10.0.0.7:8080", ValueError, "is for REST: give the gRPC address"),
        ("HTTPS://10.0.0.7", ValueError, "is for REST"),
        (["http://10.0.0.7:8080", "http://10.0.0.8:8080"], ValueError, "is for REST"),
        ("10.0.0.7:1,10.0.0.8:1", ValueError, "several addresses as a list"),
        ("grpc://10.0.0.7:1/path", ValueError, "without a path"),
        (None, TypeError, "not NoneType"),
        (b"10.0.0.7:1", TypeError, "not bytes"),
        ({"10.0.0.7:1"}, TypeError, "not set"),
        (["10.0.0.7:1", None], TypeError, "NoneType None"),
    ],
    ids=repr,
)
def test_values_that_are_no_address_are_rejected(client: Any, address: Any, error: type[Exception], words: str) -> None:
    """At once, instead of a failed name lookup at the first call."""
    with pytest.raises(error, match=words):
        client(address)


@pytest.mark.parametrize(
    "address", ["unix:/run/a,b/grpc.sock", "ipv4:10.0.0.7:1,10.0.0.8:1", "dns:///rerank:1", "dns://10.0.0.1/rerank:1"]
)
def test_targets_of_grpc_are_not_changed(address: str) -> None:
    """Also those with a comma or a slash."""
    assert channel_target(address) == address


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("secret\n", ValueError),
        (" ", ValueError),
        ("s\u00e9cret", ValueError),
        ("\ud800secret", ValueError),
        (b"secret", TypeError),
    ],
    ids=["line-end", "blank", "accent", "surrogate", "bytes"],
)
def test_keys_that_a_header_cannot_have_are_rejected(client: Any, key: Any, error: type[Exception]) -> None:
    """At once, and without the key in the message."""
    with pytest.raises(error, match="api_key") as caught:
        client(api_key=key)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "direct"),
    [
        ("ipv4:127.0.0.1:1,127.0.0.1:2", True),
        ("ipv6:[::1]:1,[::1]:2", True),
        ("ipv4:127.0.0.1:1,10.0.0.7:1", False),
    ],
)
def test_only_loopback_replicas_bypass_the_proxy(target: str, direct: bool) -> None:
    """The proxy of the environment is for other machines."""
    assert (("grpc.enable_http_proxy", 0) in channel_options(target, ())) is direct
