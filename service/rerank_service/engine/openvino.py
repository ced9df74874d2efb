"""OpenVINO as a provider of ONNX Runtime: bf16 where the processor has it.

It comes in two forms. `onnxruntime-ep-openvino` is a plugin beside the stock onnxruntime, and claims Intel's
processors only. `onnxruntime-openvino` is an onnxruntime of its own with OpenVINO built in, and takes any x86-64.
"""

import json
import threading
from functools import cache
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from rerank_service.engine.cpu import Shared
from rerank_service.engine.graph_io import ports_of
from rerank_service.engine.host import cpu
from rerank_service.engine.kinds import ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.runtime import BUILT_IN_PROVIDERS, Feed, Graph, Runner, open_session, ort, session_options

_NAME = ORT_NAME[Provider.OPENVINO]
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16"}
_BF16_FEATURES = frozenset({"amx_bf16", "avx512_bf16"})
_registering = threading.Lock()


def missing(precision: Precision) -> str | None:
    """Why this provider cannot compute in a precision here; None if it can."""
    if precision not in _HINTS:
        return f"OpenVINO is not used with {precision.value}"
    if precision is Precision.BF16 and not cpu().features & _BF16_FEATURES:
        return "this processor has neither amx_bf16 nor avx512_bf16"
    try:
        if _is_built_in() or _plugin_devices():
            return None
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common class
        return f"the OpenVINO plugin does not load: {error}"
    if _plugin_library() is None:
        return "onnxruntime-ep-openvino is not installed"
    return (
        f"the OpenVINO plugin offers no device on this processor ({cpu().name}); "
        "the extra openvino brings an onnxruntime that does"
    )


def open_runner(graph: Graph, engine: Engine, lanes: int) -> Runner:
    """A session for each lane: of several threads in one OpenVINO session all but one would wait.

    Raises:
        BundleInvalid: OpenVINO refuses the graph, or a part of it.
    """
    return PerLane([_session(graph, engine.precision) for _ in range(lanes)])


def _session(graph: Graph, precision: Precision) -> ort.InferenceSession:
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # OpenVINO knows its own fusions
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # what it cannot do is an error
    config = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # with pinning, the threads of two sessions share one core
    }
    if _is_built_in():
        chosen = {"device_type": "CPU", "load_config": json.dumps({"CPU": config})}
        return open_session(graph, options, providers=[(_NAME, chosen)])
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


@cache
def _plugin_devices() -> list[Any]:
    """The processors that the plugin claims. Registers it, which a process may do once."""
    with _registering:
        library = _plugin_library()
        if library is None:
            return []
        ort.register_execution_provider_library(_NAME, library)
        return [one for one in ort.get_ep_devices() if one.ep_name == _NAME and one.device.type.name == "CPU"]


class PerLane:
    """Sessions that one thread at a time may run."""

    def __init__(self, sessions: list[ort.InferenceSession]) -> None:
        self._free: SimpleQueue[Shared] = SimpleQueue()
        for session in sessions:
            self._free.put(Shared(session))
        self.ports = ports_of(sessions[0])

    def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[Any]:
        """As Runner has it; waits while all sessions run."""
        session = self._free.get()
        try:
            return session.run(feed, options)
        finally:
            self._free.put(session)
