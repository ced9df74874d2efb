"""The graphs of a bundle beside its reference graph: fp16 for CUDA, int8 for CPUs."""
