"""How a graph's weights are stored: as fp16 where that loses nothing, in a file of their own.

A model published in fp16 is half as large so, and still computed in fp32: onnxruntime folds the casts away when
it loads the graph. The weights lie beside the graph, so that a pass over the graph need not write them again.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALL = 1024
"""Tensors of fewer bytes stay in the graph."""


def halve_weights(model: onnx.ModelProto) -> bool:
    """Store every fp32 weight as fp16 that is the same number in fp16; tells whether all large ones are."""
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
        if not np.array_equal(half.astype(np.float32), wide):
            all_halved = False
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT, name=f"{name}.widen"))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return all_halved


def save(model: onnx.ModelProto, graph: Path, weights: str) -> None:
    """Write the graph, and its weights beside it in a file of the name `weights`."""
    onnx.save_model(
        model, graph, save_as_external_data=True, all_tensors_to_one_file=True, location=weights, size_threshold=_SMALL
    )
