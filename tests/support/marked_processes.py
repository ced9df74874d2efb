"""Processes that a test starts, and all that they start: Ray's are no children of the test."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = "RERANK_TEST_MARK"
Started = Callable[..., "subprocess.Popen[str]"]
"""Start Python with arguments."""


@contextmanager
def marked_processes(folder: Path) -> Iterator[Started]:
    """Yield a function that starts Python in a folder. At the end, kill the processes that are left.

    Processes inherit an environment variable, by which they are found.
    """
    mark = uuid.uuid4().hex

    def run(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {_MARK: mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    try:
        yield run
    finally:
        for process in _left(mark):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _left(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found
