"""ONNX Runtime's CUDA provider.

Exact where it is asked for fp32: no TF32. On the first GPU that the process sees; CUDA_VISIBLE_DEVICES chooses it.
"""

import contextlib
import io
from functools import cache
from typing import Any

import structlog

from rerank_service.engine import nvidia_driver
from rerank_service.engine.io_binding import Bound, Replayed
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import (
    BUILT_IN_PROVIDERS,
    FORM,
    Graph,
    Runner,
    open_session,
    ort,
    session_options,
)
from rerank_service.errors import BundleInvalid

LANES = 2
"""Batches at once where nothing else is said: one is made and launched while the GPU computes the other."""

_NAME = ORT_NAME[Provider.CUDA]
_REMEDY = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings them, as the extra gpu does"

_log = structlog.get_logger()


def missing(precision: Precision) -> str | None:
    """Why this provider cannot compute in a precision here; None if it can."""
    if precision not in (Precision.FP32, Precision.FP16):
        return f"the CUDA provider is not used with {precision.value}"
    if _NAME not in BUILT_IN_PROVIDERS:
        return "this onnxruntime has no CUDA: it comes with the extra gpu, and needs a GPU with its driver"
    return _fault()


def gpus() -> tuple[str, ...]:
    """Names of the GPUs here, where this onnxruntime could use them."""
    return nvidia_driver.gpus(nvidia_driver.open_driver()) if _NAME in BUILT_IN_PROVIDERS else ()


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:  # noqa: ARG001 - any number shares it
    """One session for all lanes: each run has a stream of its own.

    Raises:
        BundleInvalid: ONNX Runtime refuses the graph, or finds no GPU.
    """
    session = _session(graph, provider_options(engine))
    form = session.get_modelmeta().custom_metadata_map.get(FORM)
    _log.info("graph on the GPU", engine=str(engine), form=form or "as exported")
    return (Replayed if engine.cuda_graphs else Bound)(session, "cuda")


def provider_options(engine: Engine) -> dict[str, str]:
    """What the provider is told (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html)."""
    return {
        "arena_extend_strategy": "kSameAsRequested",  # the other doubles, and takes memory that nobody needs
        "use_tf32": "0",  # 10 bits of mantissa are no fp32
        "enable_skip_layer_norm_strict_mode": "1",  # sums in fp32: the norm waits for memory, not for sums
        "enable_cuda_graph": str(int(engine.cuda_graphs)),
    }


def _session(graph: Graph, options: dict[str, str]) -> Any:
    """A session that computes on the GPU.

    Raises:
        BundleInvalid: it does not. By itself onnxruntime would go on with the CPU.
    """
    session = open_session(graph, session_options(), providers=[(_NAME, options)], enable_fallback=0)
    session.disable_fallback()  # the same when a run fails
    if session.get_providers()[0] != _NAME:
        raise BundleInvalid(f"CUDA's libraries do not load: {_REMEDY}. {_preloaded()}".strip())
    return session


@cache
def _fault() -> str | None:
    """Why no graph runs on a GPU here. Asked once: the answer takes a context on the GPU."""
    said = nvidia_driver.fault(nvidia_driver.open_driver(), getattr(ort, "cuda_version", ""))
    if said is not None:
        return said
    _preloaded()
    try:
        _session(_nothing(), {})
    except BundleInvalid as error:
        said = " ".join(str(error).split())
        return said[max(0, said.find("CUDA failure")) :]  # before that it says where in its sources
    return None


@cache
def _preloaded() -> str:
    """Load CUDA and cuDNN from where pip puts them, which is not where they are looked for; gives what could not be."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):  # it prints
        ort.preload_dlls()
    return " ".join(told.getvalue().split())


def _nothing() -> bytes:
    """The smallest graph."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "nothing", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    serialized: bytes = model.SerializeToString()
    return serialized
