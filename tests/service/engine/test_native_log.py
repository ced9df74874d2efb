"""Log lines of native libraries do not reach stderr."""

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
    ids = np.full((1, 4), 1_000_000, np.int64)  # beyond any vocabulary
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


def test_failed_run_raises_and_prints_nothing(small_model: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    """With its default log level onnxruntime prints an error, as the last line shows."""
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


def test_failed_load_of_a_graph_or_plugin_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The exception contains the reason."""
    with pytest.raises(BundleInvalid, match="parsing failed"):
        open_session(b"no graph", session_options(), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="Failed to load library"):
        ort.register_execution_provider_library("none", "/nowhere/none.so")
    assert capfd.readouterr().err == ""


def test_stderr_is_discarded_only_inside_the_block(capfd: pytest.CaptureFixture[str]) -> None:
    """The test writes to the file descriptor, as native code does."""
    with native_log.discard_stderr():
        os.write(2, b"inside\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_import_works_without_stderr() -> None:
    """A process that is started with `2>&-` has no stderr."""
    code = "import os; os.close(2); import rerank_service.engine.runtime; print('imported')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "imported\n"
