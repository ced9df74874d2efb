"""The words for what computes."""

from dataclasses import dataclass
from enum import Enum


class Provider(Enum):
    """Where ONNX Runtime computes."""

    AUTO = "auto"
    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"


class Precision(Enum):
    """What the products with weights are computed in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to compute a model's logits. Neither part is `auto`."""

    provider: Provider
    precision: Precision
    cuda_graphs: bool = False
    """On a GPU: small batches are padded to few shapes, of which each is recorded once and replayed."""

    def __str__(self) -> str:
        return f"{self.provider.value} {self.precision.value}{' with CUDA graphs' if self.cuda_graphs else ''}"


CPU_FP32 = Engine(Provider.CPU, Precision.FP32)
"""Works everywhere; what all others are compared with."""

ORT_NAME = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
}
"""What ONNX Runtime calls them."""
