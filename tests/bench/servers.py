"""Started servers: ours, and peers that are servers."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.processes import Child, child, free_port

_READY_SECONDS = 180.0
_POLL_SECONDS = 1.0
_ASKS_NOBODY = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


@dataclass(frozen=True, slots=True)
class OurServer:
    """A `rerank serve`."""

    process: Child
    grpc: str
    """HOST:PORT."""
    rest: str
    """URL."""


@contextmanager
def our_server(log: Path, model: Path | None = None) -> Iterator[OurServer]:
    """Serve a bundle, or the bundled model; what RERANK_… variables say else holds."""
    serve = ("serve", "--grpc-port", "0", "--rest-port", "0", "--log-format", "json")
    chosen = ("--model", model) if model else ()
    with child([sys.executable, "-m", "rerank_service", *serve, *chosen], log) as process:
        ready = process.until(lambda: _ready(log), _READY_SECONDS)
        yield OurServer(process, ready["grpc"], ready["rest"])


def _ready(log: Path) -> dict[str, str] | None:
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n") and '"event": "ready"' in line:
            said: dict[str, str] = json.loads(line)
            return said
    return None


@contextmanager
def infinity(python: Path, log: Path, folder: Path, arguments: Sequence[str]) -> Iterator[tuple[Child, str]]:
    """Infinity, serving the model in a folder; gives its URL too.

    It is started there and told ".": of a longer local path optimum 2 takes no graph that Infinity finds in it.
    """
    port = free_port()
    served = ("v2", "--model-id", ".", "--host", "127.0.0.1", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    with child(
        [python.with_name("infinity_emb"), *served, *arguments], log, environment=_ASKS_NOBODY, folder=folder
    ) as process:
        process.until(lambda: _healthy(url), _READY_SECONDS)
        yield process, url


def _healthy(url: str) -> bool | None:
    try:
        return httpx.get(f"{url}/health", timeout=_POLL_SECONDS, trust_env=False).is_success or None
    except httpx.HTTPError:
        return None
