"""Child processes. Each one leads its own process group, which is killed at the end of its block."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

_POLL_SECONDS = 0.005
_LAST_LINE = 300

T = TypeVar("T")


class Died(Exception):
    """A child process ended, hung, or reported an error."""


class Child:
    """A child process and its log file."""

    def __init__(self, popen: subprocess.Popen[str], log: Path) -> None:
        self.popen = popen
        self.log = log

    def stop(self) -> None:
        """Stop all its processes until `go`."""
        self._signal(signal.SIGSTOP)

    def go(self) -> None:
        """Let its processes run again."""
        self._signal(signal.SIGCONT)

    def until(self, check: Callable[[], T | None], seconds: float) -> T:
        """Wait until `check` returns a value, and return it.

        Raises:
            Died: the process ended, or `seconds` passed.
        """
        ends = time.perf_counter() + seconds
        while (value := check()) is None:
            if self.popen.poll() is not None or time.perf_counter() > ends:
                raise Died(self.last_words())
            time.sleep(_POLL_SECONDS)
        return value

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][-_LAST_LINE:] if lines else "it logged nothing"

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


@contextmanager
def child(
    command: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
) -> Iterator[Child]:
    """Run a command during the block. Its standard error goes to the log. `environment`: None removes a variable."""
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = os.environ | dict(environment or {})
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={name: value for name, value in variables.items() if value is not None},
            cwd=folder,
            start_new_session=True,
        ) as popen,
    ):
        started = Child(popen, log)
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)  # works for stopped processes too
            if popen.stdin is not None:
                with suppress(BrokenPipeError):  # if it has ended with text in its pipe
                    popen.stdin.close()


class Runner:
    """A child process with the protocol of runners/protocol.py."""

    def __init__(self, process: Child) -> None:
        self.process = process

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a message and return the response.

        Raises:
            Died: the response is an error, or does not arrive within `seconds`.
        """
        popen = self.process.popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        hung = threading.Timer(seconds, popen.kill)
        hung.start()
        try:
            popen.stdin.write(json.dumps(message) + "\n")
            popen.stdin.flush()
            line = popen.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            hung.cancel()
        if not line:
            raise Died(f"it ended, or hung for {seconds:g} s: {self.process.last_words()}")
        response: dict[str, Any] = json.loads(line)
        if "error" in response:
            raise Died(response["error"][:_LAST_LINE])
        return response


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block like Ctrl-C, so that its child processes end too.

    asyncio handles SIGINT only: it cancels the coroutine. An exception would leave it, with its processes.
    """

    def interrupt(number: int, frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """Return a free port, for servers that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
