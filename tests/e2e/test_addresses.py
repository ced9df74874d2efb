"""Addresses of a server process: several ones, Unix sockets, and machines with one IP family."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rerank.client import RerankClient
from support.network import needs_ipv6
from support.process import Process, Start, command, environment

QUERY, DOCUMENTS = "0", ["1", "7"]


def _ranks(server: Process) -> None:
    """Check each address that the log shows."""
    body = {"query": QUERY, "documents": DOCUMENTS}
    for target in server.grpc.split(","):
        with RerankClient(target, timeout=60) as client:
            assert [result.index for result in client.rerank(QUERY, DOCUMENTS).results] == [1, 0]
    for url in server.rest.split(","):
        file = url.removeprefix("unix:")
        transport = httpx.HTTPTransport(uds=file if file != url else None)
        with httpx.Client(transport=transport, base_url="http://rerank" if file != url else url, timeout=60) as http:
            assert [result["index"] for result in http.post("/v2/rerank", json=body).json()["results"]] == [1, 0]


@pytest.mark.parametrize(
    ("host", "count"),
    [("0.0.0.0", 1), ("::", 1), pytest.param("localhost", 2, marks=needs_ipv6), ("127.0.0.1,127.0.0.2", 2)],
)
def test_both_protocols_have_the_addresses_of_the_log(start: Start, small_folder: Path, host: str, count: int) -> None:
    """The log shows where clients connect."""
    server = start("--model", str(small_folder), "--host", host)
    assert len(server.grpc.split(",")) == len(server.rest.split(",")) == count
    _ranks(server)


def test_unix_sockets(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """Clients and commands use them. They replace those of a killed server, and are removed at the end."""
    arguments = ("--model", str(small_folder), "--host", f"unix:{tmp_path}", "--example")
    killed = start(*arguments)
    killed.popen.kill()
    killed.ended()
    assert {path.name for path in tmp_path.iterdir()} == {"grpc.sock", "rest.sock"}

    server = start(*arguments)
    assert (server.grpc, server.rest) == (f"unix:{tmp_path}/grpc.sock", f"unix:{tmp_path}/rest.sock")
    assert server.grpc in server.shown("Ctrl-C")
    _ranks(server)
    for variables in ({"RERANK_SERVER": server.grpc}, {"RERANK_HOST": f"unix:{tmp_path}"}):
        assert _ranked(**variables) == [1, 0]
    second = subprocess.run(command("serve", *arguments), capture_output=True, text=True, env=environment())
    assert "another server listens on it; give another folder" in second.stderr

    server.popen.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not list(tmp_path.iterdir())


def test_unix_sockets_in_a_folder_with_special_characters(start: Start, small_folder: Path, tmp_path: Path) -> None:
    """gRPC reads its target as a URI, in which `%` begins an encoded character and `#` the fragment."""
    folder = tmp_path / "100%25 #1?"
    folder.mkdir()
    server = start("--model", str(small_folder), "--host", f"unix:{folder}")
    assert {path.name for path in folder.iterdir()} == {"grpc.sock", "rest.sock"}
    _ranks(server)
    assert _ranked(RERANK_HOST=f"unix:{folder}") == [1, 0]


def _ranked(*arguments: str, prefix: Sequence[str] = (), **variables: str) -> list[int]:
    """Return the indexes that `rerank rank` prints."""
    rank = [*prefix, *command("rank", QUERY, *DOCUMENTS, "--json", *arguments)]
    done = subprocess.run(rank, capture_output=True, text=True, env=environment(**variables))
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["index"] for line in done.stdout.splitlines()]


@contextmanager
def _network(setup: str) -> Iterator[list[str]]:
    """Make a network with its own loopback interface, and yield the prefix of commands that run in it."""
    hold = f"ip link set lo up && {setup} && echo made && exec sleep infinity"
    holder = ["unshare", "--map-root-user", "--net", "sh", "-c", hold]
    try:
        made = subprocess.Popen(holder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is not installed")
    with made:
        try:
            assert made.stdout is not None
            if (line := made.stdout.readline()) != "made\n":
                pytest.skip(f"this user cannot make a network namespace: {line}")
            yield ["nsenter", f"--target={made.pid}", "--user", "--net", "--preserve-credentials", "--"]
        finally:
            made.kill()


@pytest.mark.parametrize(
    ("setup", "ip"),
    [
        pytest.param("ip address del 127.0.0.1/8 dev lo", "[::1]", marks=needs_ipv6, id="ipv6-only"),
        pytest.param("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", "127.0.0.1", id="ipv4-only"),
    ],
)
@pytest.mark.parametrize("host", ["::", "localhost"])
def test_machine_with_one_ip_family(start: Start, small_folder: Path, setup: str, ip: str, host: str) -> None:
    """Some clusters have only one. Both protocols respond with the same settings, and the example is ranked."""
    with _network(setup) as prefix:
        server = start("--model", str(small_folder), "--host", host, "--example", prefix=prefix)
        shown = server.shown("Ctrl-C")
        assert "could not be ranked" not in shown
        assert f"try it at http://{ip}:" in shown
        variables = {"RERANK_HOST": host, "RERANK_GRPC_PORT": server.grpc.rpartition(":")[2]}
        assert _ranked(prefix=prefix, **variables) == [1, 0]
        for scheme, address in (("grpc", server.grpc), ("http", server.rest)):
            assert _ranked("--server", f"{scheme}://{ip}:{address.rpartition(':')[2]}", prefix=prefix) == [1, 0]
