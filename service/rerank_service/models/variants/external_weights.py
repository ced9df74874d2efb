"""Weights in files beside a graph: find them, and load a graph with them, also where these files are links.

`onnx.load` rejects links, as an attack. In practice they are caches: uv installs packages by hard links, and the cache
of the Hugging Face Hub consists of symbolic links.
"""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from rerank_service.errors import BundleInvalid

if TYPE_CHECKING:
    import onnx


def load_with_weights(graph: Path) -> "onnx.ModelProto":
    """Load a graph and all its weights.

    Raises:
        BundleInvalid: a file of weights is outside the folder of the graph, or shorter than the graph says.
    """
    import onnx

    model = onnx.load(graph, load_external_data=False)
    for tensor in external_weights(model):
        _read(tensor, graph)
    return model


def external_weights(model: "onnx.ModelProto") -> Iterator["onnx.TensorProto"]:
    """Yield the weights that are in files beside the graph."""
    from onnx.external_data_helper import uses_external_data

    return filter(uses_external_data, _weights(model.graph))


def _weights(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield the weights of a graph and of the branches of its `If` and `Loop` nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _weights(inner)


def _read(tensor: "onnx.TensorProto", graph: Path) -> None:
    """Put the bytes of a file into a tensor."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo

    info = ExternalDataInfo(tensor)
    location, length = PurePath(info.location), info.length or 0
    if location.is_absolute() or ".." in location.parts:
        raise BundleInvalid(f"{graph}: the weights {tensor.name} are in {location}, outside the folder of the graph")
    with (graph.parent / location).open("rb") as file:
        file.seek(info.offset or 0)
        content = file.read(length) if length or 0 in tensor.dims else file.read()
    if len(content) < length:
        raise BundleInvalid(f"{graph.parent / location} ends within the weights {tensor.name}: copy it again")
    tensor.raw_data = content
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]
