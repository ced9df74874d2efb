"""A started server with TLS, and commands that call it."""

import json
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

from support.process import Start, command, environment
from support.tls import Pems, write_pems


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    """Return the files of the server and of its callers."""
    return write_pems(tmp_path / "tls", trustme.CA())


def _rank(server: str, pems: Pems, *files: str) -> subprocess.CompletedProcess[str]:
    flags = [word for name in files for word in (f"--tls-{name}", str(getattr(pems, name)))]
    rank = command("rank", "0", "1", "--json", "--server", server, *flags)
    return subprocess.run(rank, capture_output=True, text=True, env=environment())


@pytest.mark.parametrize("mutual", [False, True])
def test_commands_call_a_server_with_tls(start: Start, small_folder: Path, pems: Pems, mutual: bool) -> None:
    """Over gRPC and REST. The log is JSON, also after failed handshakes, and shows that TLS is on."""
    variables = pems.variables() | ({"RERANK_TLS_CLIENT_CA": str(pems.ca)} if mutual else {})
    process = start("--model", str(small_folder), "--host", "localhost", **variables)
    assert process.ready["tls"] == ("mutual" if mutual else "on")
    grpc, rest = process.grpc.split(",")[0], process.rest.split(",")[0]
    assert rest.startswith("https://")
    files = ("ca", "cert", "key") if mutual else ("ca",)
    for server in (f"grpcs://{grpc}", grpc, rest):
        ranked = _rank(server.replace("[::1]", "localhost").replace("127.0.0.1", "localhost"), pems, *files)
        assert ranked.returncode == 0, ranked.stderr
        assert json.loads(ranked.stdout)["index"] == 0
    _fail_handshakes(int(grpc.rpartition(":")[2]))
    process.popen.terminate()
    assert process.ended() == 0
    process.log()


def _fail_handshakes(port: int) -> None:
    """Connect without TLS, and with an unknown authority."""
    with socket.create_connection(("localhost", port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(4096):
            pass
    with (
        socket.create_connection(("localhost", port)) as plain,
        pytest.raises(ssl.SSLError),
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost"),
    ):
        pass


def test_wrong_files_end_the_start_with_status_2(small_folder: Path, pems: Pems) -> None:
    """The message is one line."""
    other = write_pems(pems.cert.parent.with_name("other"), trustme.CA())
    for flags, message in (
        (("--tls-cert", str(pems.cert)), "set --tls-key or RERANK_TLS_KEY too"),
        (("--tls-cert", str(pems.cert), "--tls-key", str(other.key)), "does not belong to the certificate"),
    ):
        serve = command("serve", "--model", str(small_folder), "--grpc-port", "0", "--rest-port", "0", *flags)
        ended = subprocess.run(serve, capture_output=True, text=True, env=environment())
        assert (ended.returncode, ended.stdout) == (2, "")
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1
