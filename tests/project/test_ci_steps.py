"""`.ci/run` with a Makefile of its own, whose targets only print: which steps run, in which order, and how it ends."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / ".ci" / "run"
_MAKEFILE = """
%: ; @echo "ran $@ with $(filter -j%,$(MAKEFLAGS))"
type: ; @echo "types are wrong"; exit 1
openvino-test: ; @exit 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the script and the Makefile."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(_SCRIPT, tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(_MAKEFILE)
    return tmp_path


def _run(folder: Path, *steps: str) -> subprocess.CompletedProcess[str]:
    """Run steps without the variables of a make that runs this test."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [folder / ".ci" / "run", *steps], cwd="/", capture_output=True, text=True, env=variables, timeout=60
    )


def test_steps_of_one_core_run_two_at_a_time(folder: Path) -> None:
    """Also with others before and after them, which use both cores. One alone shows its output at once."""
    done = _run(folder, "lint", "test", "site", "coverage", "lint", "export-slice")
    assert (done.returncode, done.stderr) == (0, "")
    headings = [line for line in done.stdout.splitlines() if line.startswith("==")]
    assert headings == ["== make lint", "== make test", "== make site coverage lint", "== make export-slice"]
    ran = sorted(re.findall(r"ran (.*) with (.*)", done.stdout))
    assert ran == [
        ("coverage", "-j2"),
        ("export-slice", ""),
        ("lint", ""),
        ("lint", "-j2"),
        ("site", "-j2"),
        ("test", ""),
    ]


@pytest.mark.parametrize("steps", [("type",), ("lint", "type", "site"), ("openvino-test",)])
def test_a_step_that_fails_ends_the_run_and_is_named(folder: Path, steps: tuple[str, ...]) -> None:
    """No later step runs. The output of the step is shown."""
    done = _run(folder, *steps, "test")
    assert done.returncode == 2
    failed = "openvino-test" if "openvino-test" in steps else "type"
    assert re.search(rf"make: \*\*\* .*\b{failed}\] Error", done.stderr)
    assert ("types are wrong" in done.stdout) == (failed == "type")
    assert "ran test" not in done.stdout


def test_all_steps_run_once_by_default(folder: Path) -> None:
    """A step for which this machine lacks a tool is left out, with the reason."""
    (folder / "Makefile").write_text('%: ; @echo "ran $@"\n')
    done = _run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    (default,) = re.findall(r"set -- (.*)", _SCRIPT.read_text())
    seen = re.findall(r"^ran (.*)$|^== (.*) is left out: .", done.stdout, re.MULTILINE)
    assert sorted(ran or left_out for ran, left_out in seen) == sorted(default.split())
