"""`make bench-replicas`: three replicas of the starter model, direct and behind proxies, on one machine.

It prints throughput and latency of gRPC and REST, and the failed calls during a rolling restart and after `kill -9`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

import pytest

from bench.arguments import bench_parser
from bench.host import read_host
from rerank_service.progress import kept_stages
from support.proxied_clients import PLAIN, RETRYING, direct, proxied
from support.replica_load import Call, Load, load
from support.replicas import PROXIES, REPLICAS, Cluster, cluster

_OPTIONS = ("--lanes", "1", "--provider", "cpu", "--drain-delay", "3", "--access-log", "off")
_KINDS = ("grpc", "rest")
_WORKERS = 9
_WARM_UP_CALLS = 30
_PAUSE = 0.05
"""Seconds between two calls of a worker during a restart, so that the processor can start a replica."""


EXAMPLES = (
    ("all loads, as make bench-replicas", ""),
    ("a quick look, with larger calls", "--seconds 5 --documents 50"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Measure, and print two tables in Markdown."""
    arguments = _arguments(argv)
    try:
        with cluster(*_OPTIONS) as replicas:
            host = read_host()
            setup = f"{arguments.documents} documents per call, {_WORKERS} calls at a time"
            say = kept_stages(time.monotonic)
            print(f"{host.cpu}, {host.cores} cores, {setup}\n")
            say("throughput and latency")
            _print_speed(replicas, arguments.seconds, arguments.documents)
            say("lost calls: a rolling restart, then kill -9")
            _print_losses(replicas, arguments.documents)
    except pytest.skip.Exception as skipped:
        kept_stages()(f"not measured: {skipped.msg}")
        return 1
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("replicas", __doc__, EXAMPLES)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each measurement (default: 20)")
    parser.add_argument("--documents", type=int, default=20, help="documents of a call, up to 100 (default: 20)")
    return parser.parse_args(argv)


def _print_speed(replicas: Cluster, seconds: float, documents: int) -> None:
    print("| | calls/s | p50, ms | p99, ms |\n|---|---|---|---|")
    for kind in _KINDS:
        ways: dict[str, Mapping[str, str]] = {"direct": direct(kind)}
        ways |= {proxy: {proxy: proxied(f"{proxy} {kind}")} for proxy in PROXIES}
        for way, clients in ways.items():
            workers = _WORKERS // len(clients)
            with load(clients, replicas.hub.prefix, workers=workers, documents=documents) as calls:
                times = [call.seconds * 1000 for call in _measured(calls, clients, seconds)]
            p99 = statistics.quantiles(times, n=100)[98]
            rate = len(times) / seconds
            print(f"| {kind}, {way} | {rate:.1f} | {statistics.median(times):.0f} | {p99:.0f} |", flush=True)


def _measured(calls: Load, clients: Mapping[str, str], seconds: float) -> list[Call]:
    """Return the calls that end within a time, after some calls for warm-up."""
    calls.read_until(dict.fromkeys(clients, _WARM_UP_CALLS // len(clients)), lambda _: True)
    warm, end = len(calls.calls), time.monotonic() + seconds
    while time.monotonic() < end:
        calls.read()
    return calls.calls[warm:]


def _print_losses(replicas: Cluster, documents: int) -> None:
    names = (*PLAIN, *RETRYING)
    clients = {name: proxied(name) for name in names} | direct("grpc")
    with load(clients, replicas.hub.prefix, workers=2, documents=documents, pause=_PAUSE) as calls:
        calls.read_until(dict.fromkeys(clients, 2), lambda _: True)
        for number in range(len(REPLICAS)):
            name = f"restarted-{number}"
            replicas.restart(number, name)
            # also the calls that ended meanwhile, and are not read yet. cohere does not return the model
            seen = {client: 1 for client in clients if "cohere" not in client}
            calls.read_until(seen, lambda call, name=name: call.model == name)  # type: ignore[misc]
        restarted = list(calls.calls)
        replicas.kill(0)
        calls.read_until(dict.fromkeys(clients, 20), lambda call: not call.error)
        calls.stop()
    print("\n| client | failed during a rolling restart | failed after `kill -9` |\n|---|---|---|")
    for name in clients:
        columns = (_failed(restarted, name), _failed(calls.calls[len(restarted) :], name))
        print(f"| {name} | {' | '.join(columns)} |")


def _failed(calls: Sequence[Call], client: str) -> str:
    own = [call for call in calls if call.client == client]
    return f"{sum(bool(call.error) for call in own)} of {len(own):,}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
