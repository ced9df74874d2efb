"""Run many command lines of `rerank` in one process, because each process imports for a second.

The process reads a JSON list of command lines from standard input, and writes a JSON line for each one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from support.process import environment


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Arguments of `rerank`, and variables beside those of `environment`."""

    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a command."""

    status: int
    stderr: str


def run_all(lines: Sequence[CommandLine], folder: Path) -> list[Outcome]:
    """Run command lines one after the other in a folder. Each one must end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "support.command_lines"],
        input=json.dumps([asdict(line) for line in lines]),
        cwd=folder,
        env=environment(PYTHONPATH=str(Path(__file__).parents[1])),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=100,
    )
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


def _outcomes(lines: Sequence[CommandLine]) -> Iterator[Outcome]:
    from rerank_service import __main__ as entry

    for line in lines:
        with tempfile.TemporaryFile("w+") as stderr:
            os.environ.update(line.variables)
            os.dup2(stderr.fileno(), sys.stderr.fileno())
            try:
                status = entry._main(list(line.arguments))
            except SystemExit as error:  # from the parser
                status = int(error.code or 0)
            for name in line.variables:
                del os.environ[name]
            sys.stderr.flush()
            stderr.seek(0)
            yield Outcome(status, stderr.read())


if __name__ == "__main__":
    own_stderr = os.dup(sys.stderr.fileno())
    given = [CommandLine(**line) for line in json.load(sys.stdin)]
    for outcome in _outcomes(given):
        print(json.dumps(asdict(outcome)), flush=True)
    os.dup2(own_stderr, sys.stderr.fileno())
