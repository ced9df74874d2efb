"""Read an ONNX graph without its weights, and walk over its nodes."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.errors import BundleInvalid
from rerank_service.models.files import is_lfs_pointer

if TYPE_CHECKING:
    import onnx

BITS = {
    "INT2": 2,
    "UINT2": 2,
    "INT4": 4,
    "UINT4": 4,
    "FLOAT4E2M1": 4,
    "INT8": 8,
    "UINT8": 8,
    "BOOL": 8,
    "FLOAT8E4M3FN": 8,
    "FLOAT8E4M3FNUZ": 8,
    "FLOAT8E5M2": 8,
    "FLOAT8E5M2FNUZ": 8,
    "FLOAT8E8M0": 8,
    "INT16": 16,
    "UINT16": 16,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "INT32": 32,
    "UINT32": 32,
    "FLOAT": 32,
    "INT64": 64,
    "UINT64": 64,
    "DOUBLE": 64,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
}
"""Bits of a stored number by the name of its type."""
_MAX_BYTES = 2**31 - 1
"""Maximum size of an ONNX file: the limit of its format, protobuf."""


def load_graph(path: Path) -> "onnx.ModelProto":
    """Return the graph in a file. Weights beside it are not read.

    Raises:
        BundleInvalid: the file is not an ONNX graph, or is damaged.
    """
    import onnx

    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise BundleInvalid(f"{path} has {size:,} bytes, and a graph at most {_MAX_BYTES:,}: download it again")
    if is_lfs_pointer(path):
        raise BundleInvalid(f"{path} is a pointer of Git LFS and not a graph: run `git lfs pull` in its folder")
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception as error:
        raise BundleInvalid(f"{path} is not an ONNX graph, or is damaged ({error}): download it again") from error
    if not model.graph.output:
        raise BundleInvalid(f"{path} is not an ONNX graph, or is damaged (it has no output): download it again")
    return model


def type_name(data_type: int) -> str:
    """Return the name of a type of numbers; empty for one that this version of onnx does not know."""
    from onnx import TensorProto

    try:
        return TensorProto.DataType.Name(data_type)
    except ValueError:
        return ""


def inner_graphs(node: "onnx.NodeProto") -> Iterator["onnx.GraphProto"]:
    """Yield the branches of an `If`, `Loop` or similar node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_nodes(model: "onnx.ModelProto") -> Iterator["onnx.NodeProto"]:
    """Yield the nodes of a graph, of its branches, and of the functions that the file defines."""
    yield from _nodes(chain(model.graph.node, chain.from_iterable(function.node for function in model.functions)))


def _nodes(nodes: Iterable["onnx.NodeProto"]) -> Iterator["onnx.NodeProto"]:
    for node in nodes:
        yield node
        for graph in inner_graphs(node):
            yield from _nodes(graph.node)
