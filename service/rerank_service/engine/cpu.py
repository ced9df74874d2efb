"""The CPU provider of ONNX Runtime."""

import platform
from typing import Any

from numpy.typing import NDArray

from rerank_service.engine.graph_io import read_graph_io
from rerank_service.engine.host import cpu
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import REWRITE_KEY, Feed, Graph, Runner, open_session, ort, session_options

PACKAGES = ("onnxruntime",)
_ARM_BF16 = "mlas.enable_gemm_fastmath_arm64_bfloat16"
"""Session option that computes fp32 products in bf16 (ONNX Runtime, onnxruntime_session_options_config_keys.h)."""

_WIDE_SUMS = "session.x64quantprecision"
"""Session option for processors without VNNI: int8 products are added in 32 bits, where they cannot overflow, which
takes a fifth longer. ONNX Runtime ignores it on other processors (onnxruntime_session_options_config_keys.h)."""
_VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


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
    if engine.precision is not Precision.INT8:  # a graph of another tool may have int8 products all the same
        options.add_session_config_entry(_WIDE_SUMS, "1")
        return SharedSession(_open(graph, options))
    session = _open(graph, options)
    if not _VNNI & cpu().features and _may_overflow(session):
        del session  # its memory
        options.add_session_config_entry(_WIDE_SUMS, "1")
        session = _open(graph, options)
    return SharedSession(session)


def _open(graph: Graph, options: ort.SessionOptions) -> ort.InferenceSession:
    return open_session(graph, options, providers=[ORT_NAME[Provider.CPU]])


def _may_overflow(session: ort.InferenceSession) -> bool:
    """Return whether sums of 16 bits may not suffice: true for int8 graphs of other tools, false for derived ones."""
    return REWRITE_KEY not in session.get_modelmeta().custom_metadata_map


class SharedSession:
    """A session that several threads may run at the same time."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.graph_io = read_graph_io(session)

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """Return the logits of a batch. See `Runner.run`."""
        result: NDArray[Any] = self._session.run([self.graph_io.output], feed, options)[0]
        return result
