"""Start a server as a process, like its users."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

_PIPE_BYTES = 1024 * 1024
"""Size of the pipe that holds the log until the test reads it, a line for each request. The server drops what a full
pipe cannot hold. 1 MiB is the maximum of an unprivileged process."""


@dataclass(frozen=True, slots=True)
class Process:
    """A started server."""

    popen: subprocess.Popen[str]
    grpc: str
    rest: str
    before: list[dict[str, object]]
    """Log events before the event `ready`."""
    ready: dict[str, object]
    """The log event `ready`."""

    def ended(self) -> int:
        """Wait until it ends, and return the exit status."""
        return self.popen.wait(timeout=60)

    def shown(self, text: str) -> str:
        """Return its standard output up to the line with a text. Fail if the output ends before it."""
        assert self.popen.stdout is not None
        return read_until(self.popen.stdout, text)

    def log(self) -> list[dict[str, object]]:
        """Return the log events after `ready`. The process must have ended."""
        assert self.popen.stderr is not None
        return [json.loads(line) for line in self.popen.stderr]


def read_until(stream: IO[str], text: str) -> str:
    """Return the output of a process up to the end of the line with a text.

    Raises:
        AssertionError: the stream ends before; the message has the output.
    """
    read = ""
    for line in stream:
        read += line
        if text in line:
            return read
    raise AssertionError(f"the stream ended before {text!r}; it held: {read!r}")


Start = Callable[..., Process]
"""Function with the arguments of `started`."""


def command(*arguments: str, python: str = sys.executable) -> list[str]:
    """Return a command line of `rerank`. `python` is the interpreter of an environment that has it."""
    return [python, "-m", "rerank_service", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without RERANK_ settings of this machine, with tuning off."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
    return inherited | {"RERANK_TUNE": "off", "RERANK_CACHE": os.devnull} | variables  # no cache of this user


@contextmanager
def started(
    *arguments: str, prefix: Sequence[str] = (), python: str = sys.executable, **variables: str
) -> Iterator[Process]:
    """Run `rerank serve` on free ports, and kill it at the end of the block.

    `prefix` is a command that runs it. `python` is the interpreter of an environment that has it.
    """
    options = ("--grpc-port", "0", "--rest-port", "0", "--log-format", "json", *arguments)
    serve = [*prefix, *command("serve", *options, python=python)]
    with subprocess.Popen(
        serve,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(**variables),
        pipesize=_PIPE_BYTES,
    ) as popen:
        try:
            assert popen.stderr is not None
            before: list[dict[str, object]] = []
            for line in popen.stderr:
                assert line.startswith("{"), line + popen.stderr.read()
                logged = json.loads(line)
                if logged["event"] == "ready":
                    yield Process(popen, logged["grpc"], logged["rest"], before, logged)
                    break
                before.append(logged)
            else:
                raise AssertionError(f"the server ended before it was ready: {before}")
        finally:
            popen.kill()
