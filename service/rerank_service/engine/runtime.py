"""onnxruntime, imported here and nowhere else, and what all providers' sessions share."""

import os
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rerank_service.engine import native_log
from rerank_service.engine.graph_io import Ports
from rerank_service.errors import BundleInvalid

# onnxruntime reports to Microsoft unless this is set before it is imported (its docs/Privacy.md)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
with native_log.discarded():
    import onnxruntime as ort

    ort.set_default_logger_severity(native_log.FATAL)  # of what no session logs, such as the loading of plugins

__all__ = ["BUILT_IN_PROVIDERS", "FORM", "Feed", "Graph", "Runner", "open_session", "ort", "session_options"]

BUILT_IN_PROVIDERS: tuple[str, ...] = tuple(ort.get_available_providers())
"""The providers that are part of this onnxruntime. Read before any plugin is registered, since onnxruntime 1.31 and
later list registered plugins, too."""
Graph = Path | bytes
"""A graph's file, or the graph itself where no file could be written."""
FORM = "rerank.form"
"""Key of a derived graph's metadata: what was done to it, in words."""
Feed = dict[str, NDArray[Any]]


class Runner(Protocol):
    """A loaded graph. `run` blocks, releases the GIL, and may be called from several threads at once."""

    @property
    def ports(self) -> Ports:
        """What the graph takes and gives."""

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """The graph's logits. `options.terminate` stops it, where the provider can stop."""


def session_options() -> ort.SessionOptions:
    """One thread, which is the caller's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a lane is one thread; more lanes beat more threads a lane
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it is kept for each shape seen, and ours change: memory would grow
    options.log_severity_level = native_log.FATAL  # errors are raised; runs inherit this level
    return options


def open_session(graph: Graph, options: ort.SessionOptions, **providers: Any) -> ort.InferenceSession:
    """A session.

    Raises:
        BundleInvalid: ONNX Runtime refuses the graph.
    """
    try:
        return ort.InferenceSession(graph, options, **providers)
    except Exception as error:
        where = graph if isinstance(graph, Path) else "the graph"
        raise BundleInvalid(f"onnxruntime cannot load {where}: {error}") from error
