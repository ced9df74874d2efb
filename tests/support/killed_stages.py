"""Kill a process before each of its changes of the file system, and in the middle of each file that it writes.

    python -m support.killed_stages FOLDER support.kill_scenarios:Exported …

A scenario is run in a new process again and again. The first one is killed (SIGKILL) before its first change, the
second one before its second change, and so on, until one ends by itself. If the change opens a file for writing,
another process may write a few bytes more, and is killed then. After each of them, the scenario checks the files.
"""

import importlib
import mmap
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

_CHANGES = frozenset(
    (
        *("os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"),
        *("ctypes.dlsym", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp"),
    )
)
"""Audit events of Python. Calls of C functions are unknown to it, so the look-up of one counts."""
_WRITTEN_BYTES = 2
"""Size of a file whose writer is killed in the middle."""


class Scenario(Protocol):
    """Work on files that may be killed at any moment."""

    def prepare(self, folder: Path) -> None:
        """Write the files before the work. `folder` is empty."""

    def run(self, folder: Path) -> None:
        """Do the work."""

    def check(self, folder: Path) -> None:
        """Check the files after the work, and that it succeeds the next time."""


def killed_stages(scenarios: Sequence[type[Scenario]], folder: Path) -> list[int]:
    """Run scenarios, and return the number of stages of each. Fail if a check fails."""
    names = [f"{scenario.__module__}:{scenario.__name__}" for scenario in scenarios]
    run = [sys.executable, "-m", __name__, str(folder), *names]
    done = subprocess.run(run, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(line) for line in done.stdout.splitlines() if line.isdigit()]  # the others are of the log


def _stages(name: str, folder: Path) -> int:
    """Kill a scenario at each stage, and return their number."""
    module, _, attribute = name.partition(":")
    scenario: Scenario = getattr(importlib.import_module(module), attribute)()
    for stage in count(1):
        change = _Change(stage)
        if not _is_killed(scenario, folder / attribute / f"before-{stage}", change):
            return stage - 1
        if change.opens_file:
            change.is_written = True
            _is_killed(scenario, folder / attribute / f"in-{stage}", change)
    raise AssertionError("unreachable")


class _Change:
    """A change of the file system. A process is killed before it, or in the middle of the file that it opens."""

    def __init__(self, stage: int) -> None:
        self.is_written = False
        """Kill in the middle of the file."""
        self._stage = stage
        self._shared = mmap.mmap(-1, 1)  # with the child process

    @property
    def opens_file(self) -> bool:
        """True if the process that was killed before the change would have opened a file for writing."""
        return self._shared[0] == 1

    def kill(self) -> None:
        """Let this process be killed at the change."""
        changes = count(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # of a file above the limit of its size: Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))  # the limit of 0 does not stop a dump to a program (core(5))

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (writes or event in _CHANGES) and next(changes) == self._stage:
                self._shared[0] = bool(writes)
                if self.is_written:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (_WRITTEN_BYTES, _WRITTEN_BYTES))
                else:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)


def _is_killed(scenario: Scenario, place: Path, change: _Change) -> bool:
    """Run the work in a child process that is killed at a change, and check the files. Return False if it ended."""
    place.mkdir(parents=True)
    scenario.prepare(place)
    status = _status(scenario, place, change)
    try:
        assert status in (0, -signal.SIGKILL, -signal.SIGXFSZ), status
        scenario.check(place)
    except BaseException:
        print(f"{place} has {sorted(map(str, place.rglob('*')))}")
        raise
    return status != 0


def _status(scenario: Scenario, place: Path, change: _Change) -> int:
    child = os.fork()
    if child == 0:
        change.kill()
        try:
            scenario.run(place)
        except BaseException:  # noqa: BLE001 - the process ends here
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for given in sys.argv[2:]:
        print(_stages(given, Path(sys.argv[1])))
