"""Run the `rerank` command as a process."""

import os
import subprocess
import sys
from pathlib import Path


def rerank(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command and wait until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "rerank_service", *argv],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def rerank_without_reader(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a standard output that nobody reads, as in `rerank … | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "rerank_service", *argv],
            cwd=cwd,
            env=os.environ | environment,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
        )
    finally:
        os.close(writer)


def start_rerank(*argv: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the command without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rerank_service", *argv],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
