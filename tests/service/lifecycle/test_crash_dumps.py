"""A crash writes no memory to a file, in processes of their own."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, resource, signal, sys
document = "".join(("Jane ", "Doe"))
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if sys.argv[1] == "prevented":
    from rerank_service.lifecycle.crash_dumps import prevent_core_dumps, show_stacks_of_crashes
    show_stacks_of_crashes()
    prevent_core_dumps()
print(open("/proc/self/coredump_filter").read(), resource.getrlimit(resource.RLIMIT_CORE)[0])
sys.stdout.flush()
def crash():
    os.kill(os.getpid(), signal.SIGABRT)
crash()
"""


def _crashed(folder: Path, mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, mode], capture_output=True, text=True, cwd=folder)


def test_crash_writes_the_stack_and_no_memory(tmp_path: Path) -> None:
    """Neither to a file, nor to a program that receives core dumps."""
    done = _crashed(tmp_path, "prevented")
    assert done.returncode < 0
    assert done.stdout.split() == ["00000000", "0"]
    assert "in crash" in done.stderr
    assert "Jane" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 or Path("/proc/sys/kernel/core_pattern").read_text() != "core\n",
    reason="this system writes no core dumps to the working folder",
)
def test_core_dumps_would_be_written_without_it(tmp_path: Path) -> None:
    """So that the other test shows something."""
    _crashed(tmp_path, "allowed")
    assert list(tmp_path.iterdir())
