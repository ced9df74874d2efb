"""Names of providers, precisions and engines."""

from dataclasses import dataclass
from enum import Enum


class Provider(Enum):
    """The part of ONNX Runtime that computes."""

    AUTO = "auto"
    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"


class Precision(Enum):
    """The number format in which products with weights are computed."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Engine:
    """A provider with a precision. Neither of them is `auto`."""

    provider: Provider
    precision: Precision
    cuda_graphs: bool = False
    """CUDA only: pad small batches to a few shapes, record each shape once as a CUDA graph, and replay it."""

    @property
    def device(self) -> str:
        """The device whose lanes run the engine: `cpu` or `cuda`."""
        return "cuda" if self.provider is Provider.CUDA else "cpu"

    def __str__(self) -> str:
        return f"{self.provider.value} {self.precision.value}{' with CUDA graphs' if self.cuda_graphs else ''}"


CPU_FP32 = Engine(Provider.CPU, Precision.FP32)
"""The engine that works on every machine. Other engines are compared with it."""

ORT_NAME = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
}
"""Provider names in the API of ONNX Runtime."""
