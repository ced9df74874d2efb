"""ONNX Runtime: which engines this machine has, and how each one scores a batch of pairs."""
