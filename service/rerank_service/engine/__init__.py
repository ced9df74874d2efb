"""What computes: a provider of ONNX Runtime in a precision, behind one face, arrays in, logits out.

engine.py     the words: Provider, Precision, Engine
available.py  which engines this machine has, and why not the others
session.py    CrossEncoder: a batch in, its logits out, whatever the engine
cpu.py  openvino.py   how each provider is opened
runtime.py    the one place that imports onnxruntime
"""
