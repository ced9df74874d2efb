"""The ONNX Runtime execution providers that are supported."""

from enum import Enum


class Provider(Enum):
    """Where ONNX Runtime computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


ORT_NAME = {Provider.CPU: "CPUExecutionProvider", Provider.CUDA: "CUDAExecutionProvider"}
"""What ONNX Runtime calls them."""
