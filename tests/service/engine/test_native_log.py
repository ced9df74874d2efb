"""Lines of native libraries stay off stderr."""

import os
import subprocess
import sys

import numpy as np
import pytest

from rerank_service.engine import native_log
from rerank_service.engine.runtime import open_session, ort, session_options
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch


def _failing_batch() -> Batch:
    ids = np.full((1, 4), 1_000_000, np.int64)  # beyond any table
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def test_a_run_that_fails_raises_and_prints_nothing(small_model: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    """By default onnxruntime prints an error for it, as the last line shows."""
    with pytest.raises(Exception, match="out of data bounds"):
        CrossEncoder(small_model.graph).score(_failing_batch())
    assert capfd.readouterr().err == ""
    loud = session_options()
    loud.log_severity_level = 3
    session = open_session(small_model.graph, loud, providers=["CPUExecutionProvider"])
    batch = _failing_batch()
    feed = {name.name: getattr(batch, name.name) for name in session.get_inputs()}
    with pytest.raises(Exception, match="out of data bounds"):
        session.run(None, feed)
    assert "[E:onnxruntime:" in capfd.readouterr().err


def test_a_graph_or_a_plugin_that_does_not_load_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The reason is in the exception."""
    with pytest.raises(BundleInvalid, match="parsing failed"):
        open_session(b"no graph", session_options(), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="Failed to load library"):
        ort.register_execution_provider_library("none", "/nowhere/none.so")
    assert capfd.readouterr().err == ""


def test_the_block_prints_nothing_and_what_follows_does(capfd: pytest.CaptureFixture[str]) -> None:
    """By the number of the stream, as native code writes."""
    with native_log.discarded():
        os.write(2, b"inside\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_it_imports_without_stderr() -> None:
    """A process that was started with `2>&-` has none."""
    code = "import os; os.close(2); import rerank_service.engine.runtime; print('imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "imported\n"
