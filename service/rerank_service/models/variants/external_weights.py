"""Weights in files beside a graph: find them, load a graph with them, also where these files are links, and write them.

`onnx.load` rejects links, as an attack. In practice they are caches: uv installs packages by hard links, and the cache
of the Hugging Face Hub consists of symbolic links.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from rerank_service.error_text import short_line
from rerank_service.errors import BundleInvalid
from rerank_service.models.graph_nodes import inner_graphs, load_graph

if TYPE_CHECKING:
    import onnx

_WRITTEN_BESIDE = 1024
"""Bytes of a weight from which it is written beside the graph."""
_ALIGNED = 64
"""Offsets of weights in a file are multiples of this."""
_COUNT = re.compile(r"[0-9]{1,18}\Z")
"""Pattern of a number of bytes."""


def load_with_weights(graph: Path) -> "onnx.ModelProto":
    """Load a graph and all its weights.

    Raises:
        BundleInvalid: a file of weights is outside the folder of the graph, or shorter than the graph says.
    """
    model = load_graph(graph)
    for tensor in external_weights(model):
        _read(tensor, graph)
    return model


def write_with_weights(model: "onnx.ModelProto", graph: Path) -> None:
    """Write a graph to a file, and its weights to one beside it. Takes memory for the largest weight.

    The model stays as it is. `onnx.save_model` would remove its weights, and protobuf frees no memory of a message
    before the message itself: a model that got them back would take memory for them twice.
    """
    import onnx

    written = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    written.graph.name = model.graph.name
    for field in ("node", "input", "output", "sparse_initializer"):
        getattr(written.graph, field).extend(getattr(model.graph, field))
    beside = graph.with_name(f"{graph.name}.data")
    with beside.open("wb") as file:
        for tensor in model.graph.initializer:
            content = tensor.raw_data
            if len(content) < _WRITTEN_BESIDE:
                written.graph.initializer.append(tensor)
                continue
            file.write(bytes(-file.tell() % _ALIGNED))
            place_of = {"location": beside.name, "offset": str(file.tell()), "length": str(len(content))}
            written.graph.initializer.add(
                name=tensor.name,
                data_type=tensor.data_type,
                dims=tensor.dims,
                data_location=onnx.TensorProto.EXTERNAL,
                external_data=[onnx.StringStringEntryProto(key=key, value=value) for key, value in place_of.items()],
            )
            file.write(content)
    graph.write_bytes(written.SerializeToString())


def external_weights(model: "onnx.ModelProto") -> Iterator["onnx.TensorProto"]:
    """Yield the weights that are in files beside the graph."""
    from onnx.external_data_helper import uses_external_data

    return filter(uses_external_data, all_weights(model.graph))


def all_weights(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield the weights of a graph and of the branches of its `If` and `Loop` nodes."""
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
        for inner in inner_graphs(node):
            yield from all_weights(inner)


def ends_within(path: Path, tensor: "onnx.TensorProto") -> BundleInvalid:
    """Return the error about a file that is too short."""
    return BundleInvalid(f"{path} ends within the weights {short_line(tensor.name)}: copy it again")


def place(tensor: "onnx.TensorProto", graph: Path) -> tuple[Path, int, int]:
    """Return the file that holds a tensor, the offset in it and the length in bytes; 0: not stated.

    Raises:
        BundleInvalid: the file is outside the folder of the graph, or a number is wrong.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = PurePath(entries.get("location", ""))
    offset, length = (entries.get(name) or "0" for name in ("offset", "length"))
    if not location.name or "\0" in str(location) or not (_COUNT.match(offset) and _COUNT.match(length)):
        raise BundleInvalid(
            f"{graph} is damaged: it does not say where the weights {short_line(tensor.name)} are: download it again"
        )
    if location.is_absolute() or ".." in location.parts:
        raise BundleInvalid(
            f"{graph}: the weights {short_line(tensor.name)} are in {short_line(str(location))}, outside the folder of "
            "the graph"
        )
    return graph.parent / location, int(offset), int(length)


def _read(tensor: "onnx.TensorProto", graph: Path) -> None:
    """Put the bytes of a file into a tensor."""
    import onnx

    path, offset, length = place(tensor, graph)
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(length) if length or 0 in tensor.dims else file.read()
    if len(content) < length:
        raise ends_within(path, tensor)
    tensor.raw_data = content
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
