"""Network addresses that the server listens on."""

import socket

import pytest

from rerank_service.api.address import address, is_loopback, listening_socket


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    """Other machines can connect to any other address."""
    assert is_loopback(host) is loopback


def test_unusable_address_names_the_setting() -> None:
    """The setting of the port if the port is in use, else `--host`."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"127.0.0.1:{port}: Address already in use; choose another with --some-port"
        ):
            listening_socket("127.0.0.1", port, flag="--some-port")
    with pytest.raises(OSError, match="choose another with --host"):
        listening_socket("192.0.2.1", 0, flag="--some-port")


def test_ipv6_address_has_brackets() -> None:
    """gRPC and URLs require them."""
    assert (address("::1", 80), address("127.0.0.1", 80)) == ("[::1]:80", "127.0.0.1:80")
