"""The only module that imports onnxruntime, and the session options that all providers share."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rerank_service.engine import native_log
from rerank_service.engine.graph_io import GraphIO
from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid

# onnxruntime sends telemetry to Microsoft unless this is set before its import (onnxruntime, docs/Privacy.md)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
with native_log.discard_stderr():
    import onnxruntime as ort

    ort.set_default_logger_severity(native_log.FATAL)  # for messages outside sessions, such as the loading of plugins

__all__ = ["BUILT_IN_PROVIDERS", "REWRITE_KEY", "Feed", "Graph", "Runner", "open_session", "ort", "session_options"]

BUILT_IN_PROVIDERS: tuple[str, ...] = tuple(ort.get_available_providers())
"""The providers that are part of this onnxruntime. Read before any plugin is registered, because onnxruntime 1.31 and
later also list registered plugins."""
Graph = Path | bytes
"""A graph: its file, or its bytes if no file could be written."""
REWRITE_KEY = "rerank.form"
"""Metadata key of a derived graph. The value describes how the graph was rewritten."""
Providers = Sequence[str | tuple[str, dict[str, str]]]
"""Names of providers, with their options."""
Feed = dict[str, NDArray[Any]]
"""Arrays of shape (pairs, tokens) by input name."""
_OUTSIDE = "escapes model directory"
"""The reason for weights in another folder. onnxruntime 1.24.1, the latest one with OpenVINO inside, gives it for links
of the hub's cache, too."""
_COPY = "if the files are links of a hub's cache, make a copy without links, with cp -rL"


class Runner(Protocol):
    """A loaded graph. `run` blocks, releases the GIL, and may be called from several threads at the same time."""

    @property
    def graph_io(self) -> GraphIO:
        """Inputs and output of the graph."""

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the output of the graph. `options.terminate` stops the run if the provider supports it."""


def session_options() -> ort.SessionOptions:
    """Return options for a session that computes on the caller's thread only."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a lane is one thread: more lanes are faster than more threads per lane
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # onnxruntime stores a pattern for each new shape, so memory would grow
    options.log_severity_level = native_log.FATAL  # errors are raised; runs inherit this level
    return options


def open_session(graph: Graph, options: ort.SessionOptions, providers: Providers = ()) -> ort.InferenceSession:
    """Load a graph, with the providers in order of preference; without any if the options have a plugin's device.

    Raises:
        BundleInvalid: ONNX Runtime rejects the graph.
    """
    try:
        return ort.InferenceSession(graph, options, enable_fallback=0, providers=list(providers) or None)
    except Exception as error:
        name = graph if isinstance(graph, Path) else "the graph"
        reason = one_line(error)
        if _OUTSIDE in reason:
            reason += f"; {_COPY}"
        raise BundleInvalid(f"onnxruntime cannot load {name}: {reason}") from error
