"""Logs: a line that cannot be written costs nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rerank_service.models.bundle import Bundle
from support.process import started

LOG_TWICE = """
import logging, structlog
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
structlog.get_logger().info("ours")
logging.getLogger("theirs").warning("\\ud800 %s", "theirs")
print("done")
"""


@pytest.fixture
def broken() -> Iterator[int]:
    """A pipe whose reader is gone."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def _run(code: str, stderr: int) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr or ""


def test_our_lines_and_the_libraries_are_written() -> None:
    """Each once, in order, as JSON."""
    status, out, err = _run(LOG_TWICE, subprocess.PIPE)
    assert (status, out) == (0, "done\n")
    assert [line[:16] for line in err.splitlines()] == ['{"event": "ours"', '{"event": "\\ud80']


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_does_not_show_what_callers_sent(form: str) -> None:
    """Ours and the libraries' alike: where it went wrong, not the variables that were there."""
    code = f"""
import logging, structlog
from rerank_service.observability.logs import configure_logging
configure_logging("{form}", "info")
def handle(document):
    raise ValueError("a bug")
try:
    handle("".join(("Jane ", "Doe")))
except ValueError:
    structlog.get_logger().exception("ours")
    logging.getLogger("theirs").exception("theirs")
"""
    status, _, err = _run(code, subprocess.PIPE)
    assert status == 0
    assert err.count("a bug") >= 2
    assert "handle" in err
    assert "Jane Doe" not in err


def test_a_reader_that_is_gone_does_not_matter(broken: int) -> None:
    """No error, and the exit status is 0: nothing is left to be written at the end."""
    assert _run(LOG_TWICE, broken) == (0, "done\n", "")


def test_a_full_disk_does_not_matter() -> None:
    """Any error of the file is the log's own."""
    with Path("/dev/full").open("wb") as full:
        assert _run(LOG_TWICE, full.fileno()) == (0, "done\n", "")


def test_a_closed_stderr_does_not_matter() -> None:
    """Its number is then free for another file, in which no log belongs."""
    code = f"import os, sys\nsys.stderr = None\nos.close(2)\nread, write = os.pipe()\n{LOG_TWICE}"
    code += (
        "os.set_blocking(read, False)\ntry:\n    print(os.read(read, 1))\nexcept BlockingIOError:\n    print('none')"
    )
    assert _run(code, subprocess.PIPE) == (0, "done\nnone\n", "")


def test_a_server_without_a_reader_answers_and_drains(small_model: Bundle) -> None:
    """Exit status 0, as with one."""
    with started("--model", str(small_model.folder)) as server:
        assert server.popen.stderr is not None
        server.popen.stderr.close()
        body = {"query": "0", "documents": ["1", "5"]}
        ranked = httpx.post(f"{server.rest}/v2/rerank", json=body, timeout=60).json()
        assert [result["index"] for result in ranked["results"]] == [1, 0]
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0
