"""Storage of a graph's weights: in their own file, as fp16 if that loses nothing.

A model published in fp16 takes half the disk this way and is still computed in fp32: onnxruntime folds the casts when
it loads the graph. With the weights in their own file, a pass over the graph need not write them again.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

_SMALL = 1024
"""Tensors of fewer bytes stay in the graph."""


def halve_weights(model: onnx.ModelProto, *, rounded: bool = False) -> bool:
    """Store every fp32 weight as fp16 if fp16 holds the same numbers, and return True if all large weights are fp16.

    With `rounded`, finite weights are rounded to fp16 instead.
    """
    all_halved = True
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        wide = numpy_helper.to_array(initializer)
        if wide.nbytes < _SMALL:
            continue
        with np.errstate(over="ignore"):  # a number too large for fp16 becomes inf, which the next line finds
            half = wide.astype(np.float16)
        if not (np.isfinite(half).all() if rounded else np.array_equal(half.astype(np.float32), wide)):
            all_halved = False
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT, name=f"{name}.widen"))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return all_halved


def share_weights(model: onnx.ModelProto, graph: Path) -> None:
    """Refer to the weight file of another graph in the same folder for every tensor with equal bytes."""
    other = onnx.load(graph, load_external_data=False)
    stored = {}
    for tensor in other.graph.initializer:
        if uses_external_data(tensor):
            content = TensorProto()
            content.CopyFrom(tensor)
            load_external_data_for_tensor(content, str(graph.parent))
            stored[_digest(content)] = tensor
    for tensor in model.graph.initializer:
        if twin := stored.get(_digest(tensor)) if tensor.HasField("raw_data") else None:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.extend(twin.external_data)


def _digest(tensor: TensorProto) -> tuple[int, tuple[int, ...], bytes]:
    return tensor.data_type, tuple(tensor.dims), hashlib.sha256(tensor.raw_data).digest()


def save_graph(model: onnx.ModelProto, graph: Path, weights: str) -> None:
    """Write a graph to the path `graph`, and its large weights to the file `weights` beside it."""
    onnx.save_model(
        model, graph, save_as_external_data=True, all_tensors_to_one_file=True, location=weights, size_threshold=_SMALL
    )
