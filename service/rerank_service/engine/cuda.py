"""ONNX Runtime's CUDA provider."""

from rerank_service.engine.cpu import Shared
from rerank_service.engine.engine import ORT_NAME, Precision, Provider
from rerank_service.engine.runtime import Graph, Runner, open_session, ort, session_options
from rerank_service.errors import BundleInvalid

_NAME = ORT_NAME[Provider.CUDA]


def missing(precision: Precision) -> str | None:
    """Why this provider cannot compute in a precision here; None if it can."""
    if precision not in (Precision.FP32, Precision.FP16):
        return f"the CUDA provider is not used with {precision.value}"
    if _NAME not in ort.get_available_providers():
        return "this onnxruntime has no CUDA: it comes with rerank-service[gpu], and needs a GPU with its driver"
    return None


def open_runner(graph: Graph, precision: Precision, lanes: int) -> Runner:  # noqa: ARG001
    """One session for all lanes.

    Raises:
        BundleInvalid: ONNX Runtime refuses the graph, or finds no GPU.
    """
    session = open_session(graph, session_options(), providers=[_NAME])
    if session.get_providers()[0] != _NAME:
        raise BundleInvalid("--provider cuda does not work here: onnxruntime found no GPU, or no CUDA libraries for it")
    return Shared(session)
