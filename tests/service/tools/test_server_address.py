"""Addresses and keys of servers, for every client command (server_address, cli.server_arguments)."""

import argparse

import pytest

from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.errors import SettingsInvalid
from rerank_service.tools.server_address import ServerAddress, server_address


@pytest.mark.parametrize(
    ("text", "protocol", "target", "tls"),
    [
        ("localhost:1", "grpc", "localhost:1", False),
        ("grpc://localhost:1", "grpc", "localhost:1", False),
        ("grpcs://localhost:1", "grpc", "localhost:1", True),
        ("[::1]:1", "grpc", "[::1]:1", False),
        ("dns:///rerank-headless:1", "grpc", "dns:///rerank-headless:1", False),
        ("unix:/run/rerank", "grpc", "unix:/run/rerank", False),
        ("unix:/run/my rerank?.sock", "grpc", "unix:/run/my%20rerank%3F.sock", False),
        ("unix:/run/my%20rerank/100%", "grpc", "unix:/run/my%20rerank/100%25", False),
        ("unix-abstract:a@b", "grpc", "unix-abstract:a@b", False),
        (" localhost:1\n", "grpc", "localhost:1", False),
        ("GRPC://localhost:1", "grpc", "localhost:1", False),
        ("HTTPS://localhost:1", "http", "https://localhost:1", True),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", "grpc", "ipv4:10.0.0.1:1,10.0.0.2:1", False),
        ("http://localhost:1", "http", "http://localhost:1", False),
        ("https://example.com/rerank", "http", "https://example.com/rerank", True),
    ],
)
def test_valid_addresses(text: str, protocol: str, target: str, tls: bool) -> None:
    """Both protocols with and without TLS, and gRPC's name syntax."""
    address = server_address(text)
    assert (address.protocol, address.target, address.tls is not None) == (protocol, target, tls)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://a",
        "grpc://",
        "http://",
        "http://a:b",
        "grpcs://",
        "grpcs://a:1/rerank",
        "a",
        "a:99999",
        "grpc://a:1/rerank",
        "[::1",
        "a,b:1",
        "unix:",
        "unix://",
        "a:1#x",
        "a b:1",
        "dns:///a:1,b:2",
    ],
)
def test_wrong_address_is_rejected(text: str) -> None:
    """The message has its flag or variable."""
    for source in ("--server", "RERANK_SERVER"):
        with pytest.raises(SettingsInvalid, match=source):
            server_address(text, source=source)


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("variables", "words", "target", "source"),
    [
        ({}, (), "127.0.0.1:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"GRPC_PORT": "50151"}, (), "127.0.0.1:50151", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"HOST": "0.0.0.0"}, (), "127.0.0.1:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"HOST": "::"}, (), "127.0.0.1:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"HOST": "::1,0.0.0.0"}, (), "[::1]:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"HOST": "unix:/run/rerank", "GRPC_PORT": "0"}, (), "unix:/run/rerank/grpc.sock", "RERANK_HOST"),
        ({"HOST": "example.com"}, (), "example.com:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"SERVER": "a:1", "GRPC_PORT": "abc"}, (), "a:1", "RERANK_SERVER"),
        ({"SERVER": ""}, (), "127.0.0.1:50051", "RERANK_HOST, RERANK_GRPC_PORT"),
        ({"SERVER": "a:1"}, ("--server", "b:2"), "b:2", "--server"),
    ],
)
def test_the_server_is_chosen_by_flag_then_variable_then_settings(
    variables: dict[str, str], words: tuple[str, ...], target: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a client finds a server that was started with the same variables."""
    for name, value in variables.items():
        monkeypatch.setenv(f"RERANK_{name}", value)
    chosen = chosen_server(_arguments(*words))
    assert (chosen.address, chosen.source) == (ServerAddress("grpc", target), source)


def test_port_0_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the flag and the variable to set."""
    monkeypatch.setenv("RERANK_GRPC_PORT", "0")
    with pytest.raises(SettingsInvalid, match="set --server or RERANK_SERVER"):
        chosen_server(_arguments())


def test_key_comes_from_flag_or_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as unset; an empty flag is an error."""
    assert api_key(_arguments()) is None
    for value, key in (("sesame", "sesame"), ("", None), ("sesame\n", "sesame"), ("\tsesame \r\n", "sesame")):
        monkeypatch.setenv("RERANK_API_KEY", value)
        assert api_key(_arguments()) == key
    assert api_key(_arguments("--api-key", "b")) == "b"
    assert api_key(_arguments("--api-key", "b\n")) == "b"
    for inside in ("a\nb", "a\tb\n"):
        with pytest.raises(SettingsInvalid, match="--api-key has characters"):
            api_key(_arguments("--api-key", inside))
    with pytest.raises(SettingsInvalid, match="--api-key is empty"):
        api_key(_arguments("--api-key", "\n"))
    with pytest.raises(SettingsInvalid, match="--api-key is empty"):
        api_key(_arguments("--api-key", ""))
    monkeypatch.setenv("RERANK_API_KEY", "cl\u00e9")
    with pytest.raises(SettingsInvalid, match="RERANK_API_KEY has characters"):
        api_key(_arguments())


@pytest.mark.parametrize(
    "text",
    [
        "http://any:sesame@host:8080",
        "https://sesame@host",
        "grpc://sesame@host:1",
        "a:sesame@host:50051",
        "dns:///sesame@host:1",
        "dns:sesame@host:1",
    ],
)
def test_key_in_an_address_is_rejected(text: str) -> None:
    """It would be in results and errors. The message does not show it."""
    with pytest.raises(SettingsInvalid, match="--server has a user or a key before '@'") as caught:
        server_address(text)
    assert "sesame" not in str(caught.value)


def test_at_sign_in_a_path_is_no_key() -> None:
    """Such as that of a proxy with versions."""
    assert server_address("http://host/v@1").target == "http://host/v@1"
