"""The OpenVINO provider of ONNX Runtime. It computes in bf16 and int8 if the processor supports it.

Two packages contain it:

- `onnxruntime-ep-openvino` is a plugin for the stock onnxruntime. It supports Intel processors only.
- `onnxruntime-openvino` is another build of onnxruntime with OpenVINO inside. It supports any x86-64 processor.
"""

import json
import os
import threading
from functools import cache
from typing import Any

from rerank_service.engine.cpu import SharedSession
from rerank_service.engine.host import cpu
from rerank_service.engine.isa_limit import limit_note
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import BUILT_IN_PROVIDERS, Graph, Runner, open_session, ort, session_options

PACKAGES = ("onnxruntime-openvino", "onnxruntime-ep-openvino")
_NAME = ORT_NAME[Provider.OPENVINO]
_PRECISION_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Precision of the activations between products. OpenVINO quantizes them for int8 only if they are in fp32."""
_FEATURES = {Precision.BF16: ("amx_bf16", "avx512_bf16"), Precision.INT8: ("avx512_vnni", "avx_vnni")}
"""Instruction sets of which a precision needs one. Without those of int8, OpenVINO multiplies in fp32: weights lose
precision, and hardly any time is saved."""
GROUP = 128
"""Number of activations of a token that share a scale in int8 (docs/performance.md)."""
_register_lock = threading.Lock()


def unavailable_reason(precision: Precision) -> str | None:
    """Return why this provider cannot compute in a precision on this machine; None if it can."""
    if precision not in _PRECISION_HINTS:
        return f"OpenVINO is not used with {precision.value}"
    needed = _FEATURES.get(precision)
    if needed and not cpu().features.intersection(needed):
        return f"this processor has neither {' nor '.join(needed)}{limit_note(os.environ)}"
    try:
        if _is_built_in() or _plugin_devices():
            return None
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common class
        return f"the OpenVINO plugin does not load: {error}"
    if _plugin_library() is None:
        return "onnxruntime-ep-openvino is not installed"
    return (
        f"the OpenVINO plugin offers no device on this processor ({cpu().name}); "
        "install the extra openvino, whose onnxruntime supports it"
    )


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:
    """Return one session for all lanes: they share the weights, and each one computes on a stream of one thread.

    Raises:
        BundleInvalid: OpenVINO rejects the graph, or a part of it.
    """
    return SharedSession(_session(graph, engine.precision, lanes))


def _session(graph: Graph, precision: Precision, lanes: int) -> ort.InferenceSession:
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # OpenVINO fuses by itself
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # unsupported nodes are an error
    config = {
        "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
        "INFERENCE_NUM_THREADS": lanes,  # OpenVINO has at most as many streams as threads
        "NUM_STREAMS": lanes,
        "ENABLE_CPU_PINNING": False,  # with pinning, the lanes of two models share one core
    }
    if precision is Precision.INT8:
        config["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP
    if _is_built_in():
        provider_config = {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}
        return open_session(graph, options, providers=[(_NAME, provider_config)])
    options.add_provider_for_devices(_plugin_devices()[:1], {"load_config": json.dumps({"CPU": config})})
    return open_session(graph, options)


def _is_built_in() -> bool:
    return _NAME in BUILT_IN_PROVIDERS


def _plugin_library() -> str | None:
    try:
        import onnxruntime_ep_openvino
    except ImportError:
        return None
    path: str = onnxruntime_ep_openvino.get_library_path()
    return path


def _plugin_devices() -> list[Any]:
    """Return the CPU devices that the plugin supports. Registers the plugin, which a process may do only once."""
    with _register_lock:  # else two first calls at the same time would both register it
        return _registered_devices()


@cache
def _registered_devices() -> list[Any]:
    library = _plugin_library()
    if library is None:
        return []
    ort.register_execution_provider_library(_NAME, library)
    return [device for device in ort.get_ep_devices() if device.ep_name == _NAME and device.device.type.name == "CPU"]
