"""Addresses to listen on."""

import socket

import pytest

from rerank_service.api.address import bound, is_loopback


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
def test_loopback_addresses_are_known(host: str, loopback: bool) -> None:
    """All others may be reached from other machines."""
    assert is_loopback(host) is loopback


def test_an_address_that_cannot_be_listened_on_names_the_setting() -> None:
    """The port's where the port is the reason, else the host's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"127.0.0.1:{port}: Address already in use; choose another with --some-port"
        ):
            bound("127.0.0.1", port, flag="--some-port")
    with pytest.raises(OSError, match="choose another with --host"):
        bound("192.0.2.1", 0, flag="--some-port")
