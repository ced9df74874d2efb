"""Three replicas behind HAProxy and nginx, with the files of deploy/proxies: a rolling restart and a killed replica."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.replica_load import load
from support.replicas import GRPC_PORT, PROXIES, REPLICAS, REST_PORT, Cluster, cluster

_WORKERS = 2
_PAUSE = 0.02
"""Seconds between two calls of a worker, so that the processor can start a replica."""
_PLAIN = tuple(f"{proxy} {kind}" for proxy in PROXIES for kind in ("grpc-plain", "rest-plain"))
"""Clients that send no call again."""
_RETRYING = tuple(f"{proxy} {kind}" for proxy in PROXIES for kind in ("grpc", "rest", "rest-cohere"))
"""Clients with the retry policy of docs/replicas.md."""


def _client(name: str) -> str:
    proxy, kind = name.split()
    scheme, port = ("", GRPC_PORT) if kind.startswith("grpc") else ("http://", REST_PORT)
    return f"{kind}={scheme}{PROXIES[proxy]}:{port}"


@pytest.fixture(scope="module")
def replicas(small_folder: Path) -> Iterator[Cluster]:
    """Run three replicas on the small model."""
    with cluster("--model", str(small_folder), "--lanes", "1", "--provider", "cpu", "--drain-delay", "2") as running:
        yield running


def test_rolling_restart_loses_no_request(replicas: Cluster) -> None:
    """Also without retries of the client. gRPC behind nginx is left out: nginx does not see that a replica drains."""
    names = [name for name in (*_PLAIN, *_RETRYING) if not name.startswith("nginx grpc")]
    with load({name: _client(name) for name in names}, replicas.hub.prefix, workers=_WORKERS, pause=_PAUSE) as calls:
        for number in range(len(REPLICAS)):
            replicas.restart(number, f"restarted-{number}")
            seen = {name: 1 for name in names if "cohere" not in name}
            calls.read_until(seen, lambda call, number=number: call.model == f"restarted-{number}")  # type: ignore[misc]
        calls.stop()
    assert {name: calls.errors(name) for name in names} == {name: [] for name in names}


def test_killed_replica_loses_only_calls_in_flight(replicas: Cluster) -> None:
    """A worker has one call at a time, so it loses one at most. Clients with the retry policy lose none."""
    names = (*_PLAIN, *_RETRYING)
    with load({name: _client(name) for name in names}, replicas.hub.prefix, workers=_WORKERS, pause=_PAUSE) as calls:
        calls.read_until(dict.fromkeys(names, 2), lambda _: True)
        replicas.kill(0)
        calls.read_until(dict.fromkeys(names, 20), lambda call: not call.error)
        calls.stop()
    assert {name: calls.errors(name) for name in _RETRYING} == {name: [] for name in _RETRYING}
    for name in _PLAIN:
        assert calls.lost_per_worker(name) <= 1, calls.errors(name)
