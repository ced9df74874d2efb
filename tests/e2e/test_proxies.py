"""Three replicas behind HAProxy and nginx, with the files of deploy/proxies: restarts, a kill, a broken model."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from support.proxied_clients import PLAIN, RETRYING, proxied
from support.replica_load import BROKEN, load
from support.replicas import FILES, PROXIES, REPLICAS, Cluster, cluster, program
from support.small import write_small_model
from support.tls import write_pems

_PAGE = (Path(__file__).parents[2] / "docs" / "replicas.md").read_text()
_WORKERS = 2
_PAUSE = 0.02
"""Seconds between two calls of a worker, so that the processor can start a replica."""


@pytest.fixture(scope="module")
def replicas(small_folder: Path) -> Iterator[Cluster]:
    """Run three replicas on the small model."""
    with cluster("--model", str(small_folder), "--lanes", "1", "--provider", "cpu", "--drain-delay", "2") as running:
        yield running


def test_rolling_restart_loses_no_request(replicas: Cluster) -> None:
    """Also without retries of the client. gRPC behind nginx is left out: nginx does not see that a replica drains."""
    names = [name for name in (*PLAIN, *RETRYING) if not name.startswith("nginx grpc")]
    with load({name: proxied(name) for name in names}, replicas.hub.prefix, workers=_WORKERS, pause=_PAUSE) as calls:
        for number in range(len(REPLICAS)):
            replicas.restart(number, f"restarted-{number}")
            seen = {name: 1 for name in names if "cohere" not in name}
            calls.read_until(seen, lambda call, number=number: call.model == f"restarted-{number}")  # type: ignore[misc]
        calls.stop()
    assert {name: calls.errors(name) for name in names} == {name: [] for name in names}


def test_killed_replica_loses_only_calls_in_flight(replicas: Cluster) -> None:
    """A worker has one call at a time, so it loses one at most. Clients with the retry policy lose none."""
    names = (*PLAIN, *RETRYING)
    with load({name: proxied(name) for name in names}, replicas.hub.prefix, workers=_WORKERS, pause=_PAUSE) as calls:
        calls.read_until(dict.fromkeys(names, 2), lambda _: True)
        replicas.kill(0)
        calls.read_until(dict.fromkeys(names, 20), lambda call: not call.error)
        calls.stop()
    assert {name: calls.errors(name) for name in RETRYING} == {name: [] for name in RETRYING}
    for name in PLAIN:
        assert calls.lost_per_worker(name) <= 1, calls.errors(name)


def test_broken_model_leaves_the_others(small_folder: Path, tmp_path: Path) -> None:
    """Each replica answers 503 for a model that cannot be loaded. No proxy leaves the replicas out for it."""
    (write_small_model(tmp_path / "bad").folder / "model.onnx").write_bytes(b"no graph")
    models = tmp_path / "models.yaml"
    models.write_text(f"- {{bundle: {small_folder}, name: good}}\n- {{bundle: bad, name: {BROKEN}, load: on_demand}}\n")
    good, broken = ([f"{proxy} rest-{kind}" for proxy in PROXIES] for kind in ("plain", "broken"))
    clients = {name: proxied(name) for name in (*good, *broken)}
    with (
        cluster("--models", str(models), "--lanes", "1", "--provider", "cpu") as running,
        load(clients, running.hub.prefix, workers=1, documents=1, pause=_PAUSE) as calls,
    ):
        calls.read_until(dict.fromkeys(clients, 20), lambda _: True)
        calls.stop()
    assert {name: calls.errors(name) for name in good} == {name: [] for name in good}
    for name in broken:
        errors = calls.errors(name)
        assert len(errors) >= 20
        assert all("503 Server Error" in error for error in errors), errors


@pytest.mark.parametrize(("name", "file"), [("haproxy", "haproxy.cfg"), ("nginx", "nginx.conf")])
def test_commented_lines_of_tls_are_valid(tmp_path: Path, name: str, file: str) -> None:
    """The proxy accepts its file with these lines, changed as docs/replicas.md says."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    (tmp_path / "tls" / "both.pem").write_bytes(pems.cert.read_bytes() + pems.key.read_bytes())
    removed = re.search(r"\*\*TLS\*\* between clients and proxy: remove `([^`]+)`", _PAGE)
    assert removed is not None
    text = (FILES / file).read_text()
    assert text.count(removed[1]) == 2
    text = text.replace(removed[1], "").replace("/etc/tls/", f"{tmp_path}/tls/").replace("/tmp/nginx", f"{tmp_path}/x")
    (tmp_path / file).write_text(text)
    check = {"haproxy": ["-c", "-f"], "nginx": ["-e", "stderr", "-t", "-c"]}[name]
    done = subprocess.run([program(name), *check, tmp_path / file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "WARNING" not in done.stderr
