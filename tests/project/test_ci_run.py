"""`.ci/run`: the order of its steps, and those that a machine cannot run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_RUN = Path(__file__).parents[2] / ".ci" / "run"
_MAKEFILE = "lint lowest-slice lowest-test:\n\t@echo made $@\nfails:\n\t@false\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs some steps, in a folder whose targets print their names."""
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    shutil.copy(_RUN, script)
    (tmp_path / "Makefile").write_text(_MAKEFILE)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def start(*steps: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, *steps], env=inherited | variables, capture_output=True, text=True, timeout=60)

    return start


def test_the_steps_run_in_their_order_until_one_fails(run: Run) -> None:
    """With the command that repeats each."""
    done = run("lint", "fails", "lint")
    assert done.stdout.splitlines() == ["== make lint", "made lint", "== make fails"]
    assert done.returncode != 0


@pytest.mark.parametrize("step", ["lowest-slice", "lowest-test"])
def test_the_lowest_versions_are_left_out_without_their_python(run: Run, step: str) -> None:
    """Python 3.12 is enough for the other steps, which run."""
    done = run(step, "lint", LOWEST_PYTHON="no-such-python")
    reason = "this machine lacks no-such-python (LOWEST_PYTHON can be another Python 3.11)"
    assert done.stdout.splitlines() == [f"== {step} is left out: {reason}", "== make lint", "made lint"]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_lowest_versions_are_tried_with_their_python(run: Run) -> None:
    """The command runs."""
    done = run("lowest-slice", LOWEST_PYTHON=sys.executable)
    assert done.stdout.splitlines() == ["== make lowest-slice", "made lowest-slice"]


def test_a_python_that_does_not_start_is_none(run: Run, tmp_path: Path) -> None:
    """pyenv has such commands for versions that are not installed."""
    broken = tmp_path / "python3.11"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert "is left out" in run("lowest-slice", LOWEST_PYTHON=str(broken)).stdout
