"""What computes: a provider of ONNX Runtime in a precision, behind one face, arrays in, logits out.

engine.py     the words: Provider, Precision, Engine
available.py  which engines this machine has, and why not the others
session.py    CrossEncoder: a batch in, its logits out, whatever the engine
cpu.py  openvino.py  cuda.py   how each provider is opened
binding.py  memory.py  nvidia.py   what a GPU wants: inputs put there, runs that find no memory, its driver
limits.py     how large batches should be
runtime.py    the one place that imports onnxruntime
native_log.py keeps native libraries' log lines out of ours
"""
