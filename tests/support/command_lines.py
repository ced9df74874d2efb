"""Run many command lines of `rerank` in one process, because each process imports for a second.

The process reads command lines from standard input, each as a line of JSON, and writes a line of JSON when one has
ended.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from support.process import environment


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Arguments of `rerank`, and variables beside those of `environment`."""

    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)


COMMAND = (sys.executable, "-m", "support.command_lines")
"""Starts the process."""


def variables() -> dict[str, str]:
    """Return the environment of the process."""
    return environment(PYTHONPATH=str(Path(__file__).parents[1]))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a command."""

    status: int
    stderr: str


def as_line(line: CommandLine) -> str:
    """Return a command line as the process reads it."""
    return json.dumps(asdict(line)) + "\n"


def outcome_of(line: str | bytes) -> Outcome:
    """Return the outcome that the process wrote as a line."""
    return Outcome(**json.loads(line))


def run_all(lines: Sequence[CommandLine], folder: Path) -> list[Outcome]:
    """Run command lines one after the other in a folder. Each one must end by itself."""
    done = subprocess.run(
        COMMAND,
        input="".join(as_line(line) for line in lines),
        cwd=folder,
        env=variables(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
    )
    return [outcome_of(line) for line in done.stdout.splitlines()]


def _outcomes(lines: Iterable[CommandLine]) -> Iterator[Outcome]:
    from rerank_service import __main__ as entry

    for line in lines:
        with tempfile.TemporaryFile("w+", errors="replace") as stderr:
            os.environ.update(line.variables)
            os.dup2(stderr.fileno(), sys.stderr.fileno())
            try:
                status = entry._main(list(line.arguments))
            except SystemExit as error:  # from the parser
                status = int(error.code or 0)
            except Exception:  # noqa: BLE001 - as the interpreter ends
                traceback.print_exc()
                status = 1
            for name in line.variables:
                del os.environ[name]
            sys.stderr.flush()
            stderr.seek(0)
            yield Outcome(status, stderr.read())


if __name__ == "__main__":
    own_stderr = os.dup(sys.stderr.fileno())
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for outcome in _outcomes(CommandLine(**json.loads(line)) for line in sys.stdin):
        print(json.dumps(asdict(outcome)), file=results, flush=True)
    os.dup2(own_stderr, sys.stderr.fileno())
    from rerank_service.lifecycle.background import background_work_is_running

    if background_work_is_running():  # of a `serve` that failed while its model loads; the entry point ends so, too
        os._exit(0)
