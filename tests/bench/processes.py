"""What is started is ended: each child leads a process group of its own, which is killed when its block is left."""

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
    """A child ended, hung, or said that it cannot do what it was asked."""


class Child:
    """A running process."""

    def __init__(self, popen: subprocess.Popen[str], log: Path) -> None:
        self.popen = popen
        self.log = log

    def stop(self) -> None:
        """Let none of it run until `go`."""
        self._signal(signal.SIGSTOP)

    def go(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def until(self, look: Callable[[], T | None], seconds: float) -> T:
        """Wait until there is something to see.

        Raises:
            Died: there will be nothing.
        """
        ends = time.perf_counter() + seconds
        while (seen := look()) is None:
            if self.popen.poll() is not None or time.perf_counter() > ends:
                raise Died(self.last_words())
            time.sleep(_POLL_SECONDS)
        return seen

    def last_words(self) -> str:
        """The end of its log, in a line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][-_LAST_LINE:] if lines else "it said nothing"

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


@contextmanager
def child(
    command: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Child]:
    """Run a command while the block does; its standard error goes to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | dict(environment or {}),
            cwd=folder,
            start_new_session=True,
        ) as popen,
    ):
        started = Child(popen, log)
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)  # also those that are stopped


class Runner:
    """A child that speaks as runners/lines.py says."""

    def __init__(self, process: Child) -> None:
        self.process = process

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer.

        Raises:
            Died: there is none, or it is an error.
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
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Died(answer["error"][:_LAST_LINE])
        return answer


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that what it has started ends too."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port that nobody has now, for servers that cannot be told to choose one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
