"""The CUDA provider of ONNX Runtime.

It uses the first GPU that the process sees; CUDA_VISIBLE_DEVICES selects another one. fp32 is exact: TF32 is off.
"""

import contextlib
import io
from functools import cache
from typing import Any

import structlog

from rerank_service.engine import nvidia_driver
from rerank_service.engine.io_binding import BoundSession, CudaGraphSession
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import (
    BUILT_IN_PROVIDERS,
    REWRITE_KEY,
    Graph,
    Runner,
    open_session,
    ort,
    session_options,
)
from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid

DEFAULT_LANES = 2
"""Batches that run at once without a setting: the CPU prepares and launches one while the GPU computes the other."""
PACKAGES = ("onnxruntime-gpu",)

_NAME = ORT_NAME[Provider.CUDA]
_INSTALL_LIBRARIES = "install them with pip install 'onnxruntime-gpu[cuda,cudnn]', or with the extra gpu"

_log = structlog.get_logger()


def unavailable_reason(precision: Precision) -> str | None:
    """Return why this provider cannot compute in a precision on this machine; None if it can."""
    if precision not in (Precision.FP32, Precision.FP16):
        return f"the CUDA provider is not used with {precision.value}"
    if _NAME not in BUILT_IN_PROVIDERS:
        return "this onnxruntime has no CUDA: install the extra gpu, on a machine with an NVIDIA GPU and its driver"
    return _gpu_fault()


def gpu_names() -> tuple[str, ...]:
    """Return the names of the GPUs that this onnxruntime can use."""
    return nvidia_driver.gpu_names(nvidia_driver.open_driver()) if _NAME in BUILT_IN_PROVIDERS else ()


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:  # noqa: ARG001 - all lanes share one session
    """Return one session for all lanes. Their batches share one CUDA stream.

    Raises:
        BundleInvalid: ONNX Runtime rejects the graph, or finds no GPU.
    """
    session = _session(graph, provider_options(engine))
    rewrite = session.get_modelmeta().custom_metadata_map.get(REWRITE_KEY)
    _log.info("graph on the GPU", engine=str(engine), variant=rewrite or "as exported")
    return (CudaGraphSession if engine.cuda_graphs else BoundSession)(session, "cuda")


def provider_options(engine: Engine) -> dict[str, str]:
    """Return the provider's options (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html)."""
    return {
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles the arena, and takes memory it never uses
        "use_tf32": "0",  # TF32 has a mantissa of 10 bits, fp32 of 23
        # with a stream for each run, batches that ran at once disturbed each other, and had wrong scores on an H100
        # (docs/decisions/0056)
        "use_ep_level_unified_stream": "1",
        "enable_skip_layer_norm_strict_mode": "1",  # sums in fp32: costs no measurable time
        "enable_cuda_graph": str(int(engine.cuda_graphs)),
    }


def _session(graph: Graph, options: dict[str, str]) -> Any:
    """Return a session that computes on the GPU.

    Raises:
        BundleInvalid: it would compute on the CPU, onnxruntime's silent fallback.
    """
    session = open_session(graph, session_options(), providers=[(_NAME, options)])
    session.disable_fallback()  # no fallback when a run fails, either
    if session.get_providers()[0] != _NAME:
        raise BundleInvalid(f"CUDA's libraries do not load: {_INSTALL_LIBRARIES}. {_preload_libraries()}".strip())
    return session


@cache
def _gpu_fault() -> str | None:
    """Return why no graph runs on a GPU here; None if one does. Cached, because the check creates a CUDA context."""
    fault = nvidia_driver.driver_fault(nvidia_driver.open_driver(), getattr(ort, "cuda_version", ""))
    if fault is not None:
        return fault
    _preload_libraries()
    try:
        _session(_smallest_graph(), {})
    except BundleInvalid as error:
        message = one_line(error)
        return message[max(0, message.find("CUDA failure")) :]  # skips the position in onnxruntime's source code
    return None


@cache
def _preload_libraries() -> str:
    """Load CUDA and cuDNN from the folders of their pip packages, where the loader of the system does not look.

    Returns the libraries that did not load, as onnxruntime prints them.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ort.preload_dlls()
    return " ".join(printed.getvalue().split())


def _smallest_graph() -> bytes:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "smallest", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    serialized: bytes = model.SerializeToString()
    return serialized
