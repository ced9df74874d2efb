"""Kill a process (SIGKILL) before each of its changes of the file system, one after the other.

    python -m support.killed_stages FOLDER support.kill_scenarios:Exported …

A scenario is run in a new process again and again. The first one is killed before its first change, the second one
before its second change, and so on, until one ends by itself. After each of them, the scenario checks the files.
"""

import importlib
import os
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
        place = folder / attribute / str(stage)
        place.mkdir(parents=True)
        scenario.prepare(place)
        killed = _killed(scenario, place, stage)
        try:
            scenario.check(place)
        except BaseException:
            print(f"{name} was killed before change {stage}: {place} has {sorted(map(str, place.rglob('*')))}")
            raise
        if not killed:
            return stage - 1
    raise AssertionError("unreachable")


def _killed(scenario: Scenario, place: Path, stage: int) -> bool:
    """Run the work in a child process that is killed before its change number `stage`. Return False if it ended."""
    child = os.fork()
    if child == 0:
        _kill_before(stage)
        try:
            scenario.run(place)
        except BaseException:  # noqa: BLE001 - the process ends here
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def _kill_before(stage: int) -> None:
    changes = count(1)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in _CHANGES) and next(changes) == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)


if __name__ == "__main__":
    for given in sys.argv[2:]:
        print(_stages(given, Path(sys.argv[1])))
