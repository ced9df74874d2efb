"""Protocol between the benchmark and a runner: one JSON object per line in each direction.

    {"do": "load", ...}                                    {"versions": {...}}
    {"do": "prepare", "requests": [[query, [document, ...]], ...]}      {}
    {"do": "run", "batch": 8 or null}                      {"seconds": ..., "scores": [[...], ...]}

The response to a failed message is {"error": ...}. The runner measures the time, of the work alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any, Protocol

Requests = list[tuple[str, list[str]]]


class Engine(Protocol):
    """A loaded model."""

    def prepare(self, requests: Requests) -> Any:
        """Do the preparation that is not measured."""

    def run(self, prepared: Any, batch: int | None) -> list[list[float]]:
        """Return the probability of each document of each request. `batch` is None for the engine's default."""


Load = Callable[[dict[str, Any]], Engine]
"""Load a model, from the fields of the message beside "do"."""


def serve(load: Load, packages: tuple[str, ...]) -> None:
    """Respond to messages until standard input ends. Reports the versions of those `packages` that are installed."""
    responses = _own_stdout()
    engine: Engine | None = None
    prepared: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            match message.pop("do"):
                case "load":
                    engine = load(message)
                    response: dict[str, Any] = {"versions": _versions(packages)}
                case "prepare":
                    assert engine is not None
                    requests = [(query, documents) for query, documents in message["requests"]]
                    prepared = engine.prepare(requests)
                    response = {}
                case _:
                    assert engine is not None
                    begun = time.perf_counter()
                    scores = engine.run(prepared, message["batch"])
                    response = {"seconds": time.perf_counter() - begun, "scores": scores}
        except Exception as error:  # noqa: BLE001 - the benchmark reports it and continues without the peer
            response = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.flush()  # output of libraries reaches the log before the response
        print(json.dumps(response), file=responses, flush=True)


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of the packages that are installed: a runner for a GPU has no OpenVINO."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _own_stdout() -> IO[str]:
    """Return the standard output, for responses only. Output of libraries goes to standard error from now on."""
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return responses
