"""The CPU provider of ONNX Runtime."""

import platform
from typing import Any

from numpy.typing import NDArray

from rerank_service.engine.graph_io import read_graph_io
from rerank_service.engine.host import cpu
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import Feed, Graph, Runner, open_session, ort, session_options

PACKAGES = ("onnxruntime",)
_ARM_BF16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"
"""Session option that computes fp32 products in bf16 (ONNX Runtime, onnxruntime_session_options_config_keys.h)."""


def unavailable_reason(precision: Precision) -> str | None:
    """Return why this provider cannot compute in a precision on this machine; None if it can."""
    if precision in (Precision.FP32, Precision.INT8):
        return None
    if precision is Precision.BF16:
        arm = platform.machine() in ("aarch64", "arm64")
        return None if arm and "bf16" in cpu().features else "onnxruntime's CPU provider has bf16 on Arm only"
    return f"onnxruntime's CPU provider has no {precision.value}"


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:  # noqa: ARG001 - all lanes share one session
    """Return one session for all lanes: they share the weights, and each call computes on its own thread.

    Raises:
        BundleInvalid: ONNX Runtime rejects the graph.
    """
    options = session_options()
    if engine.precision is Precision.BF16:
        options.add_session_config_entry(_ARM_BF16, "1")
    return SharedSession(open_session(graph, options, providers=[ORT_NAME[Provider.CPU]]))


class SharedSession:
    """A session that several threads may run at the same time."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.graph_io = read_graph_io(session)

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the logits of a batch. See `Runner.run`."""
        result: NDArray[Any] = self._session.run([self.graph_io.output], feed, options)[0]
        return result
