"""A server as its users start it: a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class Process:
    """A started server."""

    popen: subprocess.Popen[str]
    grpc: str
    rest: str
    before: list[dict[str, object]]
    """What it logged before it was ready."""
    ready: dict[str, object]
    """The line that said ready."""

    def ended(self) -> int:
        """Wait for its end; gives the exit status."""
        return self.popen.wait(timeout=60)

    def shown(self, text: str) -> str:
        """What it has written to standard output, up to the line that holds a text; fails if that never comes."""
        assert self.popen.stdout is not None
        return read_until(self.popen.stdout, text)

    def log(self) -> list[dict[str, object]]:
        """What it logged since the line that said ready, once it has ended."""
        assert self.popen.stderr is not None
        return [json.loads(line) for line in self.popen.stderr]


def read_until(stream: IO[str], text: str) -> str:
    """Return what a process writes up to the end of the line that holds a text.

    Raises:
        AssertionError: the stream ends before; the message holds what was read.
    """
    read = ""
    for line in stream:
        read += line
        if text in line:
            return read
    raise AssertionError(f"the stream ended before {text!r}; it held: {read!r}")


Start = Callable[..., Process]
"""Takes what `started` takes."""


def command(*arguments: str) -> list[str]:
    """A command line of `rerank`."""
    return [sys.executable, "-m", "rerank_service", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Ours, without settings that the machine may have, untuned."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
    return ours | {"RERANK_TUNE": "off", "RERANK_CACHE": os.devnull} | variables  # nothing of this machine's user


@contextmanager
def started(*arguments: str, **variables: str) -> Iterator[Process]:
    """Run `rerank serve` on ports of the system's choice; killed at the end if it still runs."""
    serve = command("serve", "--grpc-port", "0", "--rest-port", "0", "--log-format", "json", *arguments)
    with subprocess.Popen(
        serve, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(**variables)
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
                raise AssertionError(f"it ended before it was ready: {before}")
        finally:
            popen.kill()
