"""Storage of a graph's weights: in their own file, in 16 bits if that loses nothing.

A model published in fp16 or bf16 takes half the disk this way and is still computed in fp32: onnxruntime folds the
casts when it loads the graph. A table that is only looked up, such as that of the token embeddings, is not widened at
all: the cast is behind the lookup, so the table stays mapped from its file. With the weights in their own file, a pass
over the graph need not write them again.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

Stored = Literal["fp32", "bf16", "fp16"]
"""Precision of stored weights."""

_SMALL = 1024
"""Tensors of fewer bytes stay in the graph."""
_HALVES: Mapping[int, Stored] = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}


def halve_weights(model: onnx.ModelProto, *, rounded: bool = False) -> Stored:
    """Store every fp32 weight as fp16 or bf16, in place, if that type holds the same numbers.

    With `rounded`, the other weights are rounded to fp16 if they are in its range.

    Returns the precision of the large weights: "fp32" if there are fp32 ones, else "bf16" if there are bf16 ones.
    """
    graph = model.graph
    readers = _readers(graph)
    casts, lookups = [], set[str]()
    for initializer in graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        wide = numpy_helper.to_array(initializer)
        if wide.nbytes < _SMALL or (half := _halved(wide, rounded=rounded)) is None:
            continue
        name = initializer.name
        half.name = f"{name}.{_HALVES[half.data_type]}"
        initializer.CopyFrom(half)
        if _is_table(name, readers[name]):
            for lookup in readers[name]:
                lookup.input[0] = half.name
                lookups.add(lookup.output[0])
        else:
            casts.append(_cast(half.name, name))
    nodes = [*casts, *_widened_lookups(graph, lookups)]
    del graph.node[:]
    graph.node.extend(nodes)
    return _stored(graph)


def _halved(wide: NDArray[np.float32], *, rounded: bool) -> TensorProto | None:
    """Return weights in 16 bits, without a name; None if neither type holds them."""
    with np.errstate(over="ignore"):  # a number too large for fp16 becomes inf, which the comparison finds
        half = wide.astype(np.float16)
    if np.array_equal(half.astype(np.float32), wide):
        return numpy_helper.from_array(half)
    bits = np.ascontiguousarray(wide).view(np.uint32)
    if not (bits & 0xFFFF).any() and not np.isnan(wide).any():  # bf16 is the upper half of fp32
        upper = (bits >> 16).astype("<u2").tobytes()
        return TensorProto(data_type=TensorProto.BFLOAT16, dims=wide.shape, raw_data=upper)
    return numpy_helper.from_array(half) if rounded and np.isfinite(half).all() else None


def _readers(graph: onnx.GraphProto) -> Mapping[str, Sequence[NodeProto]]:
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return readers


def _is_table(name: str, readers: Sequence[NodeProto]) -> bool:
    """Return whether all readers of a tensor look rows up in it."""
    return bool(readers) and all(node.op_type == "Gather" and node.input[0] == name for node in readers)


def _widened_lookups(graph: onnx.GraphProto, lookups: Collection[str]) -> Iterator[NodeProto]:
    """Yield the nodes, and after each lookup in a table of 16 bits a cast of the found rows.

    `lookups` are the outputs of these nodes.
    """
    for node in graph.node:
        rows = node.output[0]
        if rows not in lookups:
            yield node
            continue
        node.output[0] = f"{rows}.half"
        yield node
        yield _cast(node.output[0], rows)


def _cast(half: str, wide: str) -> NodeProto:
    return helper.make_node("Cast", [half], [wide], to=TensorProto.FLOAT, name=f"{wide}.widen")


def _stored(graph: onnx.GraphProto) -> Stored:
    types = {
        tensor.data_type
        for tensor in graph.initializer
        if tensor.data_type in _HALVES or (tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) * 4 >= _SMALL)
    }
    if TensorProto.FLOAT in types:
        return "fp32"
    return "bf16" if TensorProto.BFLOAT16 in types else "fp16"


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
