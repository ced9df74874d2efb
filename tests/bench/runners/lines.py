"""The conversation between the benchmark and a runner: a JSON object a line in, one out.

    {"do": "load", ...}                                    {"versions": {...}}
    {"do": "prepare", "requests": [[query, [document, ...]], ...]}      {}
    {"do": "run", "batch": 8 or null}                      {"seconds": ..., "scores": [[...], ...]}

What goes wrong is answered as {"error": ...}. Times are taken here, around the work alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import IO, Any, Protocol

Requests = list[tuple[str, list[str]]]


class Engine(Protocol):
    """What ranks."""

    def prepare(self, requests: Requests) -> Any:
        """Whatever may be done before the clock runs."""

    def run(self, prepared: Any, batch: int | None) -> list[list[float]]:
        """Scores of each request's documents, as probabilities; `batch` is None for the engine's own default."""


Load = Callable[[dict[str, Any]], Engine]


def serve(load: Load, packages: tuple[str, ...]) -> None:
    """Answer until there is nobody to ask. `load` gets what the message has beside "do"."""
    answers = _own_stdout()
    engine: Engine | None = None
    prepared: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        try:
            match message.pop("do"):
                case "load":
                    engine = load(message)
                    answer: dict[str, Any] = {"versions": {name: version(name) for name in packages}}
                case "prepare":
                    assert engine is not None
                    requests = [(query, documents) for query, documents in message["requests"]]
                    prepared = engine.prepare(requests)
                    answer = {}
                case _:
                    assert engine is not None
                    begun = time.perf_counter()
                    scores = engine.run(prepared, message["batch"])
                    answer = {"seconds": time.perf_counter() - begun, "scores": scores}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is told, and the run goes on without it
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.flush()  # what libraries printed is in the log before the answer is read
        print(json.dumps(answer), file=answers, flush=True)


def _own_stdout() -> IO[str]:
    """The standard output, for answers alone: what libraries print goes to the standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers
