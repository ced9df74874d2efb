"""Start servers: ours, and peers that are servers."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.processes import Child, child, free_port

_READY_SECONDS = 180.0
_POLL_SECONDS = 1.0
_OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


@dataclass(frozen=True, slots=True)
class OurServer:
    """A running `rerank serve`."""

    process: Child
    grpc: str
    """HOST:PORT."""
    rest: str
    """URL."""


@contextmanager
def our_server(
    log: Path, model: Path | None = None, extra: Sequence[str] = (), environment: Mapping[str, str | None] | None = None
) -> Iterator[OurServer]:
    """Serve a bundle, or the bundled model, with extra flags. Other settings come from RERANK_… variables.

    `environment` changes variables; None removes one.
    """
    serve = ("serve", "--grpc-port", "0", "--rest-port", "0", "--log-format", "json")
    chosen = ("--model", model) if model else ()
    command = [sys.executable, "-m", "rerank_service", *serve, *chosen, *extra]
    with child(command, log, environment=environment) as process:
        ready = process.until(lambda: _ready(log), _READY_SECONDS)
        yield OurServer(process, ready["grpc"], ready["rest"])


def _ready(log: Path) -> dict[str, str] | None:
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n") and '"event": "ready"' in line:
            event: dict[str, str] = json.loads(line)
            return event
    return None


@contextmanager
def infinity(python: Path, log: Path, folder: Path, arguments: Sequence[str]) -> Iterator[tuple[Child, str]]:
    """Serve the model in a folder with Infinity. Yield the process and its URL.

    Infinity runs in the folder with the model id ".": optimum 2 does not find the graph under a longer local path.
    """
    port = free_port()
    served = ("v2", "--model-id", ".", "--host", "127.0.0.1", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    with child(
        [python.with_name("infinity_emb"), *served, *arguments], log, environment=_OFFLINE, folder=folder
    ) as process:
        process.until(lambda: _healthy(url), _READY_SECONDS)
        yield process, url


def _healthy(url: str) -> bool | None:
    try:
        return httpx.get(f"{url}/health", timeout=_POLL_SECONDS, trust_env=False).is_success or None
    except httpx.HTTPError:
        return None
