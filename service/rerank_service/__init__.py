"""A reranking server: cross-encoders on ONNX Runtime behind gRPC and REST."""

__version__ = "0.1.0"
