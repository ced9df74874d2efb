"""One error for all ports that cannot be used."""

import socket

import pytest

from rerank_service.api.address import ListenAddress, TcpAddress, listen_addresses
from rerank_service.api.free_ports import WantedPort, check_ports_free
from rerank_service.errors import SettingsInvalid

LOOPBACK = TcpAddress("127.0.0.1")


def _wanted(port: int, flag: str, addresses: tuple[ListenAddress, ...] = (LOOPBACK,)) -> WantedPort:
    return WantedPort(addresses=addresses, port=port, flag=flag)


def _problem(port: int, name: str) -> str:
    return (
        f"--{name} or RERANK_{name.upper().replace('-', '_')} is {port}: the server cannot listen on 127.0.0.1:{port}: "
        "Address already in use; give another port, or end the process that uses it"
    )


def test_all_ports_in_use_are_named() -> None:
    """In the order of the servers, each with its setting. A free port is none of them."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        rest, grpc = one.getsockname()[1], other.getsockname()[1]
        with pytest.raises(SettingsInvalid) as caught:
            check_ports_free([_wanted(rest, "--rest-port"), _wanted(0, "--metrics-port"), _wanted(grpc, "--grpc-port")])
    assert str(caught.value) == f"{_problem(rest, 'rest-port')}; {_problem(grpc, 'grpc-port')}"


def test_free_ports_stay_free() -> None:
    """The servers listen on them afterwards. Unix sockets have no port."""
    with socket.create_server(("127.0.0.1", 0)) as earlier:
        port = earlier.getsockname()[1]
    check_ports_free([_wanted(port, "--rest-port"), _wanted(1, "--grpc-port", listen_addresses(["unix:/run"]))])
    socket.create_server(("127.0.0.1", port)).close()


def test_wrong_address_is_named_once() -> None:
    """It is wrong for each port. 192.0.2.1 is for documentation, so no machine has it (RFC 5737)."""
    wanted = [_wanted(0, flag, (TcpAddress("192.0.2.1"),)) for flag in ("--rest-port", "--grpc-port")]
    with pytest.raises(SettingsInvalid) as caught:
        check_ports_free(wanted)
    assert str(caught.value).count("--host or RERANK_HOST has '192.0.2.1'") == 1
