"""Merges leave no conflict in the files of the repository."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_file_has_conflict_markers() -> None:
    """Git writes them at the start of a line."""
    markers = ("git", "grep", "--untracked", "-nE", "^(<<<<<<<|>>>>>>>) ")
    found = subprocess.run(markers, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, ""), "1: no line matches"
