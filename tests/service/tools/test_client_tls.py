"""TLS of the commands that call a server: which files are used, and the messages about wrong ones."""

import argparse
from pathlib import Path

import pytest
import trustme

from rerank_service.cli.server_arguments import add_server_arguments, chosen_server
from rerank_service.errors import SettingsInvalid
from rerank_service.tools.client_tls import ClientTls
from rerank_service.tools.rest_client import client_of
from rerank_service.tools.server_address import ServerAddress
from support.running import Running
from support.tls import Pems, tls_served, write_pems


@pytest.fixture
def authority() -> trustme.CA:
    """Return the authority of all certificates."""
    return trustme.CA()


@pytest.fixture
def pems(tmp_path: Path, authority: trustme.CA) -> Pems:
    """Return the files of a client."""
    return write_pems(tmp_path / "client", authority, names=("caller@example.com",))


def _chosen(*words: str) -> ServerAddress:
    parser = argparse.ArgumentParser()
    add_server_arguments(parser)
    return chosen_server(parser.parse_args(words)).address


async def test_both_protocols_use_the_files(core: Running, tmp_path: Path, authority: trustme.CA, pems: Pems) -> None:
    """A server that requires a client certificate, as for `rerank models`."""
    server = write_pems(tmp_path / "server", authority)
    flags = ("--tls-ca", str(pems.ca), "--tls-cert", str(pems.cert), "--tls-key", str(pems.key))
    async with tls_served(core, server.files(client_ca=True)) as served:
        for address in (
            f"localhost:{served.grpc_port}",
            f"grpcs://localhost:{served.grpc_port}",
            f"dns:///localhost:{served.grpc_port}",
            f"https://localhost:{served.rest_port}",
        ):
            async with client_of(_chosen("--server", address, *flags)) as client:
                assert [model.name for model in await client.models()] == ["small"]


@pytest.mark.parametrize("flag", ["--tls-ca", "--tls-cert", "--tls-key"])
def test_an_empty_file_of_tls_is_an_error(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As of `--tls-ca "$UNSET"`. Otherwise, the call and its API key would be plain text."""
    with pytest.raises(SystemExit):
        _chosen("--server", "a:1", flag, "")
    assert f"argument {flag}: the path is empty: give a file" in capsys.readouterr().err


@pytest.mark.parametrize("address", [(), ("--server", "a:1")])
def test_each_flag_of_tls_encrypts_an_address_without_scheme(address: tuple[str, ...], pems: Pems) -> None:
    """Otherwise, the API key would be sent as plain text."""
    for words in (("--tls-ca", str(pems.ca)), ("--tls-cert", str(pems.cert), "--tls-key", str(pems.key))):
        assert _chosen(*address, *words).tls is not None


@pytest.mark.parametrize(
    ("address", "tls"),
    [
        ("a:1", True),
        ("dns:///a:1", True),
        ("grpcs://a:1", True),
        ("https://a:1", True),
        ("grpc://a:1", False),
        ("http://a:1", False),
        ("unix:/run/rerank/grpc.sock", False),
        ("unixbox.example.com:1", True),
    ],
)
def test_the_authority_in_a_variable_applies_to_addresses_that_may_use_tls(
    address: str, tls: bool, pems: Pems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheme of an address has precedence."""
    monkeypatch.setenv("RERANK_TLS_CA", str(pems.ca))
    assert _chosen("--server", address).tls == (ClientTls(ca=pems.ca) if tls else None)


def test_the_authority_in_a_variable_applies_without_a_server_address(
    pems: Pems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flag --tls-ca does the same: an API key must not be sent in plain text."""
    assert _chosen("--tls-ca", str(pems.ca)).tls == ClientTls(ca=pems.ca)
    monkeypatch.setenv("RERANK_TLS_CA", str(pems.ca))
    assert _chosen().tls == ClientTls(ca=pems.ca)


def test_the_server_with_the_same_variables_is_called_with_tls(pems: Pems, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is offered as that of the client, too."""
    assert _chosen().tls is None
    monkeypatch.setenv("RERANK_TLS_CERT", str(pems.cert))
    monkeypatch.setenv("RERANK_TLS_KEY", str(pems.key))
    assert _chosen().tls == ClientTls(cert=pems.cert, key=pems.key)
    monkeypatch.setenv("RERANK_HOST", "unix:/run/rerank,127.0.0.1")  # the first one is called
    assert _chosen().tls is None


@pytest.mark.parametrize("address", ["grpc://a:1", "http://a:1", "unix:/run/rerank/grpc.sock"])
def test_flags_of_tls_need_an_address_with_tls(address: str, pems: Pems) -> None:
    """Otherwise the caller would believe that the connection is encrypted."""
    with pytest.raises(SettingsInvalid, match=f"--server is {address}, without TLS, and --tls-ca is set"):
        _chosen("--server", address, "--tls-ca", str(pems.ca))


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_wrong_file_is_reported(name: str, content: str | None, pems: Pems) -> None:
    """With its flag and its path."""
    path: Path = getattr(pems, name)
    path.unlink() if content is None else path.write_text(content)
    problem = "cannot be read" if content is None else "contains no certificate" if name == "ca" else "cannot be used"
    flags = ("--tls-ca", str(pems.ca), "--tls-cert", str(pems.cert), "--tls-key", str(pems.key))
    with pytest.raises(SettingsInvalid, match=problem) as caught:
        _chosen("--server", "a:1", *flags)
    assert f"--tls-{name} is {str(path)!r}" in str(caught.value)


@pytest.mark.parametrize(("given", "missing"), [("cert", "key"), ("key", "cert")])
def test_certificate_and_key_belong_together(given: str, missing: str, pems: Pems) -> None:
    """The message has the flag and the variable that is missing."""
    with pytest.raises(SettingsInvalid, match=f"^--tls-{given} is .* and RERANK_TLS_{missing.upper()} is unset"):
        _chosen("--server", "grpcs://a:1", f"--tls-{given}", str(getattr(pems, given)))
