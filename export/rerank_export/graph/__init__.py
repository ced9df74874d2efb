"""The model as an ONNX graph: exported by optimum or torch, made cheaper by passes, and its weights stored."""
