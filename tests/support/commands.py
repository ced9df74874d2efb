"""Run the `rerank` command as a process. The settings of the user are removed by conftest.py."""

import os
import subprocess
from pathlib import Path

from support.process import command


def rerank(*argv: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command and wait until it ends."""
    return subprocess.run(
        command(*argv),
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )


def rerank_without_reader(*argv: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a standard output that nobody reads, as in `rerank … | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            command(*argv),
            cwd=cwd,
            env=os.environ | variables,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
        )
    finally:
        os.close(writer)


def start_rerank(*argv: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """Start the command without waiting for it."""
    return subprocess.Popen(
        command(*argv),
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
