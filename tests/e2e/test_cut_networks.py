"""Replicas whose network is cut, and names that cannot be resolved: the typed client goes on when it can."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from support.namespaces import bridge, machine
from support.process import read_until, started

_CLIENT = """
import sys
from rerank.client import RerankClient
from rerank.errors import Unavailable

options = [
    ("grpc.keepalive_time_ms", 500), ("grpc.keepalive_timeout_ms", 500), ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.dns_min_time_between_resolutions_ms", 100),
]
retries = int(sys.argv[2])
with RerankClient(sys.argv[1], timeout=60, retries=retries, options=options) as client:
    while True:
        try:
            print(client.rerank("0", ["1", "2"]).model, flush=True)
        except Unavailable as error:
            print("Unavailable", str(error).replace(chr(10), " "), flush=True)
"""


@contextmanager
def _client(target: str, retries: int, prefix: Sequence[str] = ()) -> Iterator[IO[str]]:
    """Run a client that sends one call after the other, and yield its output: the model of each response, or an
    error. It ends with the block."""
    command = [*prefix, sys.executable, "-c", _CLIENT, target, str(retries)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            yield popen.stdout
        finally:
            popen.kill()


def test_a_cut_network_loses_no_call(small_folder: Path) -> None:
    """No packet tells the client that a replica is gone. Its pings show it, and the calls are sent to the other one.
    When the network is back, so is the replica."""
    addresses = ("10.0.0.11", "10.0.0.12")
    with (
        bridge("10.0.0.1/24") as hub,
        machine(hub, f"{addresses[0]}/24") as first,
        machine(hub, f"{addresses[1]}/24") as second,
    ):
        options = ("--model", str(small_folder), "--lanes", "1", "--grpc-port", "50051", "--min-ping-interval", "0.1")
        with (
            started(*options, "--host", addresses[0], "--model-name", "first", prefix=first.prefix),
            started(*options, "--host", addresses[1], "--model-name", "second", prefix=second.prefix),
            _client(f"ipv4:{addresses[0]}:50051,{addresses[1]}:50051", 5, hub.prefix) as output,
        ):
            read_until(output, "first")
            hub.run(f"ip link set v{first.pid} down")
            answers = ""
            while not answers.endswith("second\n" * 50):  # before the cut, both answer in turn
                answers += next(output)
            hub.run(f"ip link set v{first.pid} up")
            answers += read_until(output, "first")
    assert "Unavailable" not in answers


_OWN_NAMES = """
mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/resolv.conf; shift 2; exec "$@"
"""


def test_a_name_that_cannot_be_resolved_is_reported_until_it_can(small_folder: Path, tmp_path: Path) -> None:
    """The error names the address. The same client works as soon as the name is known."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare (util-linux) is not installed")
    hosts, resolver = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("127.0.0.1 localhost\n")
    resolver.write_text("nameserver 127.0.0.1\n")  # nobody listens there
    prefix = ("unshare", "--map-root-user", "--mount", "sh", "-ec", _OWN_NAMES, "sh", str(hosts), str(resolver))
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this user cannot make a mount namespace")
    with started("--model", str(small_folder), "--lanes", "1") as server:
        port = server.grpc.rpartition(":")[2]
        with _client(f"dns:///replica.test:{port}", 0, prefix) as output:
            assert "replica.test" in read_until(output, "Unavailable")
            with hosts.open("a") as file:
                file.write("127.0.0.1 replica.test\n")
            read_until(output, "small")
