"""How a graph's weights are stored: as fp16 where that loses nothing, in a file of their own.

A model published in fp16 is half as large so, and still computed in fp32: onnxruntime folds the casts away when
it loads the graph. The weights lie beside the graph, so that a pass over the graph need not write them again.
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
    """Store every fp32 weight as fp16 that is the same number in fp16, or, rounded, that fp16 can hold; tells whether
    all large ones are."""
    all_halved = True
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        wide = numpy_helper.to_array(initializer)
        if wide.nbytes < _SMALL:
            continue
        with np.errstate(over="ignore"):  # what is too large for fp16 becomes inf, and differs
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
    """Refer to the weights of another graph, in the same folder, wherever they are the same bytes."""
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


def save(model: onnx.ModelProto, graph: Path, weights: str) -> None:
    """Write the graph, and its weights beside it in a file of the name `weights`."""
    onnx.save_model(
        model, graph, save_as_external_data=True, all_tensors_to_one_file=True, location=weights, size_threshold=_SMALL
    )
