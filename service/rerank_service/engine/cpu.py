"""ONNX Runtime's own CPU provider."""

import platform
from typing import Any

from numpy.typing import NDArray

from rerank_service.engine.graph_io import ports_of
from rerank_service.engine.host import cpu
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import Feed, Graph, Runner, open_session, ort, session_options

_ARM_BF16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"
"""Lets fp32 products be computed in bf16 (ONNX Runtime's onnxruntime_session_options_config_keys.h)."""


def missing(precision: Precision) -> str | None:
    """Why this provider cannot compute in a precision here; None if it can."""
    if precision in (Precision.FP32, Precision.INT8):
        return None
    if precision is Precision.BF16:
        arm = platform.machine() in ("aarch64", "arm64")
        return None if arm and "bf16" in cpu().features else "onnxruntime's CPU provider has bf16 on Arm only"
    return f"onnxruntime's CPU provider has no {precision.value}"


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:  # noqa: ARG001 - any number shares it
    """One session for all lanes: they share the weights, and each call computes on the thread that made it.

    Raises:
        BundleInvalid: ONNX Runtime refuses the graph.
    """
    options = session_options()
    if engine.precision is Precision.BF16:
        options.add_session_config_entry(_ARM_BF16, "1")
    return Shared(open_session(graph, options, providers=[ORT_NAME[Provider.CPU]]))


class Shared:
    """A session that several threads may run at once."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.ports = ports_of(session)

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """As Runner has it."""
        result: NDArray[Any] = self._session.run([self.ports.output], feed, options)[0]
        return result
