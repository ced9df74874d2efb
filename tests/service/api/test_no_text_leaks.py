"""No text and no key of a caller is in the log, a metric, a trace or the response of another caller.

The server runs in a process of its own (support/canary_run.py), with the settings of `rerank serve` and the log level
debug, so that all of its standard error is checked, with what libraries and the interpreter write there.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished() -> "subprocess.CompletedProcess[str]":
    """Return the server and its callers after all requests."""
    return subprocess.run(
        [sys.executable, "-m", "support.canary_run", "json", "debug"], capture_output=True, text=True, cwd=_TESTS
    )


def test_log_has_no_text(finished: "subprocess.CompletedProcess[str]") -> None:
    """All lines are JSON. Unexpected errors of each part are among them, with their class and without their message."""
    assert finished.returncode == 0, finished.stderr[-3000:]
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    assert [line for line in lines if "Jane" in str(line)] == []
    errors = [line for line in lines if "exception" in line]
    events = {line["event"].partition(" [")[0].strip() for line in errors}
    assert events == {"request finished", "Exception in ASGI application", "Unexpected"}
    assert {each["exc_type"] for line in errors for each in line["exception"]} > {"ValueError", "KeyError"}
    assert {line["cause"] for line in lines if "cause" in line} >= {"ValueError (message hidden, see --log-texts)"}
    assert any(line.get("cause", "").startswith("InvalidArgument(") for line in lines)  # of ONNX Runtime
    statuses = {line.get("status") for line in lines}
    assert statuses > {200, 400, 401, 413, 422, 500, "OK", "INTERNAL", "INVALID_ARGUMENT"}


def test_nothing_else_has_a_text(finished: "subprocess.CompletedProcess[str]") -> None:
    """Neither metrics, nor spans, nor headers and bodies of other responses."""
    rest = json.loads(finished.stdout)
    assert rest["sent"] > 400
    assert len(rest["seen_by_others"]) == 2 * rest["sent"]
    assert "rerank_refused_total" in rest["metrics"]
    assert "rerank.dialect" in rest["spans"]
    for name in ("metrics", "spans", "seen_by_others"):
        assert "Jane" not in str(rest[name]), name
