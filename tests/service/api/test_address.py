"""Addresses that the servers listen on, from hosts."""

import os
import socket
from pathlib import Path

import pytest

from rerank_service.api.address import (
    ListenAddress,
    TcpAddress,
    UnixAddress,
    address,
    client_target,
    listen_addresses,
    local_address,
)
from rerank_service.errors import SettingsInvalid
from support.network import HAS_IPV6, needs_ipv6


def _texts(*hosts: str) -> list[str]:
    return [each.ip if isinstance(each, TcpAddress) else f"unix:{each.folder}" for each in listen_addresses(hosts)]


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["127.0.0.1"], ["127.0.0.1"]),
        (["0.0.0.0"], ["0.0.0.0"]),
        (["::ffff:0.0.0.0"], ["0.0.0.0"]),
        (["::ffff:127.0.0.1"], ["127.0.0.1"]),
        (["0:0:0:0:0:0:0:1"], ["::1"]),
        (["127.0.0.1", "127.0.0.1"], ["127.0.0.1"]),
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        (["0.0.0.0", "127.0.0.1", "::1"], ["0.0.0.0", "::1"]),
        (["192.0.2.1"], ["192.0.2.1"]),
        (["unix:/run/rerank"], ["unix:/run/rerank"]),
        (["unix:///run/rerank/"], ["unix:/run/rerank"]),
        (["127.0.0.1", "unix:/run/rerank"], ["127.0.0.1", "unix:/run/rerank"]),
    ],
)
def test_hosts_mean_addresses(hosts: list[str], addresses: list[str]) -> None:
    """Each address occurs once, and none that another one includes."""
    assert _texts(*hosts) == addresses


@needs_ipv6
@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["::"], ["::"]),
        (["0::0"], ["::"]),
        (["localhost"], ["127.0.0.1", "::1"]),
        (["LocalHost"], ["127.0.0.1", "::1"]),
        (["localhost", "::1"], ["127.0.0.1", "::1"]),
        (["::", "0.0.0.0", "127.0.0.1", "::1"], ["::"]),
        (["127.0.0.1", "::", "unix:/run/rerank"], ["::", "unix:/run/rerank"]),
    ],
)
def test_hosts_mean_both_families(hosts: list[str], addresses: list[str]) -> None:
    """`::` includes every other IP address."""
    assert _texts(*hosts) == addresses


@pytest.mark.skipif(HAS_IPV6, reason="this machine has IPv6")
def test_hosts_without_ipv6() -> None:
    """The server starts with the same settings on a machine without IPv6."""
    assert (_texts("::"), _texts("localhost")) == (["0.0.0.0"], ["127.0.0.1"])


def test_kernel_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """`::` means 0.0.0.0 and `localhost` means 127.0.0.1 where no IPv6 socket can be bound."""

    class WithoutIpv6(socket.socket):
        def __init__(self, family: int, *arguments: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, os.strerror(97))
            super().__init__(family, *arguments)

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    assert (_texts("::"), _texts("localhost"), _texts("::", "127.0.0.1")) == (["0.0.0.0"], ["127.0.0.1"], ["0.0.0.0"])


def test_name_means_all_its_addresses() -> None:
    """The name of a machine, for example of a pod."""
    name = socket.gethostname()
    found = {info[4][0] for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    assert set(_texts(name)) <= found


@pytest.mark.parametrize("name", ["host.invalid", "a" * 70, "127.0.0.1:8080", "300.1.1.1"])
def test_unknown_name_names_the_setting(name: str) -> None:
    """The message has the name."""
    with pytest.raises(SettingsInvalid, match=rf"--host or RERANK_HOST has '{name}': .*; give addresses of this"):
        listen_addresses([name])


@pytest.mark.parametrize(
    ("listened", "loopback"),
    [
        (TcpAddress("127.0.0.1"), True),
        (TcpAddress("127.1.2.3"), True),
        (TcpAddress("::1"), True),
        (UnixAddress(Path("/run/rerank")), True),
        (TcpAddress("0.0.0.0"), False),
        (TcpAddress("::"), False),
        (TcpAddress("10.0.0.1"), False),
    ],
)
def test_loopback_addresses(listened: ListenAddress, loopback: bool) -> None:
    """Other machines can connect to any other address."""
    assert listened.is_loopback is loopback


def test_ipv6_address_has_brackets() -> None:
    """gRPC and URLs require them."""
    assert (address("::1", 80), address("127.0.0.1", 80)) == ("[::1]:80", "127.0.0.1:80")


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("127.0.0.1", "127.0.0.1:50051"),
        ("::1", "[::1]:50051"),
        ("0.0.0.0", "127.0.0.1:50051"),
        ("::", "127.0.0.1:50051"),
        ("0::0", "127.0.0.1:50051"),
        ("::ffff:0.0.0.0", "127.0.0.1:50051"),
        ("localhost", "localhost:50051"),
        ("unix:/run/rerank", "unix:/run/rerank/grpc.sock"),
    ],
)
def test_client_on_the_same_machine(host: str, target: str) -> None:
    """An address that means all interfaces is replaced by a loopback address."""
    assert client_target(host, 50051) == target


@pytest.mark.parametrize(
    ("listened", "reachable"),
    [
        ("[::]:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("192.0.2.1:8080", "192.0.2.1:8080"),
        ("unix:/run/rerank/grpc.sock", "unix:/run/rerank/grpc.sock"),
    ],
)
def test_address_for_clients_on_the_same_machine(listened: str, reachable: str) -> None:
    """gRPC cannot connect to `::` where IPv6 is switched off, and browsers reject it."""
    assert local_address(listened) == reachable
