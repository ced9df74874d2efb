"""TCP sockets on several addresses with one port."""

import socket

import pytest

from rerank_service.api.address import TcpAddress
from rerank_service.api.tcp_sockets import ipv6_in_use, listening_sockets, reserved_port
from rerank_service.errors import SettingsInvalid
from support.network import needs_ipv6

LOOPBACK = TcpAddress("127.0.0.1")


def test_unusable_address_names_the_setting() -> None:
    """The setting of the port if the port is in use, else `--host`."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        problem = rf"the server cannot listen on 127.0.0.1:{port}: Address already in use; give another port"
        message = rf"^--some-port or RERANK_SOME_PORT is {port}: {problem}"
        with pytest.raises(SettingsInvalid, match=message):
            listening_sockets([LOOPBACK], port, flag="--some-port")
        with pytest.raises(SettingsInvalid, match=message), reserved_port([LOOPBACK], port, flag="--some-port"):
            raise AssertionError("unreachable")
    with pytest.raises(SettingsInvalid, match=r"--host or RERANK_HOST has '192\.0\.2\.1'"):
        listening_sockets([TcpAddress("192.0.2.1")], 0, flag="--some-port")


def test_one_of_several_addresses_in_use() -> None:
    """No socket stays open."""
    second = TcpAddress("127.0.0.2")
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"127.0.0.2:{port}: Address already in use"):
            listening_sockets([LOOPBACK, second], port, flag="--some-port")
        socket.create_server(("127.0.0.1", port)).close()


def test_all_addresses_have_the_same_free_port() -> None:
    """Port 0 means one port that is free on all addresses. The order is that of the addresses."""
    sockets = listening_sockets([TcpAddress(f"127.0.0.{last}") for last in range(1, 9)], 0, flag="--some-port")
    ips, ports = zip(*(each.getsockname() for each in sockets), strict=True)
    for each in sockets:
        each.close()
    assert ips == tuple(f"127.0.0.{last}" for last in range(1, 9))
    assert len(set(ports)) == 1


def test_two_servers_that_start_at_once_do_not_share_a_port() -> None:
    """Both have bound the port before one of them listens."""
    with reserved_port([LOOPBACK], 0, flag="--some-port") as port:
        first = listening_sockets([LOOPBACK], port, flag="--some-port")
        with pytest.raises(SettingsInvalid, match="Address already in use; give another port"):
            listening_sockets([LOOPBACK], port, flag="--some-port")
        first[0].close()


@needs_ipv6
def test_port_is_in_use_on_ipv6_only_during_the_block() -> None:
    """Also if the port has connections of an earlier server (TIME_WAIT). IPv4 stays free."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as earlier:
        port = earlier.getsockname()[1]
        with socket.create_connection(("::1", port)) as client:
            accepted, _ = earlier.accept()
            accepted.close()
            assert client.recv(1) == b""
    with ipv6_in_use(port):
        for ip in ("::", "::1"):
            with pytest.raises(SettingsInvalid, match="Address already in use"):
                listening_sockets([TcpAddress(ip)], port, flag="--some-port")
        for listener in listening_sockets([LOOPBACK], port, flag="--some-port"):
            listener.close()
    for listener in listening_sockets([TcpAddress("::1")], port, flag="--some-port"):
        listener.close()
