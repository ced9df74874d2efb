"""`make bench-overhead`: throughput with access log and metrics, with traces, and with TLS, beside none of them.

Each way has a server of its own with the bundled model. In each round, one server after the other gets the load, while
the others are stopped. Traces are sent to a port where nothing listens.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

from bench.arguments import bench_parser
from bench.host import read_host
from bench.load_level import measured
from bench.servers import OurServer, our_server
from rerank_service.progress import progress
from support.tls import Pems, write_pems

_SCRAPE_SECONDS = 1.0
_NONE = "none of them"
_PROTOCOLS = ("grpc", "rest")
_OFF = ("--tune", "off", "--access-log", "off")


EXAMPLES = (
    ("all loads, as make bench-overhead", ""),
    ("a quick look", "--rounds 1 --seconds 2"),
)
"""Examples of --help."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to run the server."""

    flags: Sequence[str] = _OFF
    client: Sequence[str] = ()
    """Flags of its clients."""
    scraped: bool = False
    """True if a client reads `/metrics` during the load."""


def main(argv: Sequence[str]) -> int:
    """Measure, and print a table in Markdown."""
    arguments = _arguments(argv)
    host = read_host()
    load = f"{arguments.clients} clients, {arguments.documents} documents per request, {arguments.rounds} rounds"
    print(f"{host.cpu}, {host.cores} cores, {load}\n")
    print("| protocol | way | documents/s, median | ratio, median (least to most) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        work = Path(folder)
        ways = _ways(write_pems(work / "tls", trustme.CA()))
        loaded = running.enter_context(progress("loads", len(_PROTOCOLS) * arguments.rounds * len(ways)))
        servers = _started(ways, work, running)
        for protocol in _PROTOCOLS:
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(arguments.rounds):
                for name, way in ways.items():
                    rates[name].append(_rate(protocol, way, servers[name], work / "level.json", arguments))
                    loaded(1, detail=f"{protocol}, {name}")
            _print(protocol, rates)
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("overhead", __doc__, EXAMPLES)
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="loads of each server (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="clients of a load (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=25, help="documents of a request (default: %(default)s)")
    return parser.parse_args(argv)


def _ways(pems: Pems) -> dict[str, _Way]:
    certificate = ("--tls-cert", str(pems.cert), "--tls-key", str(pems.key))
    return {
        _NONE: _Way(),
        "access log, metrics": _Way(("--tune", "off"), scraped=True),
        "traces": _Way((*_OFF, "--traces", "otlp")),
        "TLS": _Way((*_OFF, *certificate), client=("--tls-ca", str(pems.ca))),
    }


def _started(ways: Mapping[str, _Way], work: Path, running: ExitStack) -> dict[str, OurServer]:
    servers: dict[str, OurServer] = {}
    for number, (name, way) in enumerate(ways.items()):
        servers[name] = running.enter_context(our_server(work / f"{number}.log", extra=way.flags))
        servers[name].process.stop()
    return servers


def _rate(protocol: str, way: _Way, server: OurServer, out: Path, arguments: argparse.Namespace) -> float:
    """Return the documents per second of one load."""
    address = server.rest if protocol == "rest" else f"{'grpcs' if way.client else 'grpc'}://{server.grpc}"
    load = ("--clients", arguments.clients, "--seconds", arguments.seconds, "--documents", arguments.documents)
    server.process.go()
    with _scraping(server.rest) if way.scraped else ExitStack():
        level = measured(address, out, *way.client, *load)
    server.process.stop()
    if level.errors:
        raise SystemExit(f"{address}: failed calls: {level.errors}")
    return level.documents_per_second


@contextmanager
def _scraping(url: str) -> Iterator[None]:
    """Read `/metrics` once a second during the block."""
    ended = threading.Event()

    def scrape() -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not ended.wait(_SCRAPE_SECONDS):
                client.get(f"{url}/metrics").raise_for_status()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _print(protocol: str, rates: Mapping[str, Sequence[float]]) -> None:
    for name, own in rates.items():
        ratios = [rate / none for rate, none in zip(own, rates[_NONE], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {protocol} | {name} | {statistics.median(own):.0f} | {spread} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
