"""Read an ONNX graph without its weights, and walk over its nodes."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import check_not_lfs_pointer

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

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


def names_read(nodes: "Iterable[onnx.NodeProto]") -> set[str]:
    """Return the names that nodes read, also in the branches of `If` and `Loop`."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        found |= names_read_in_branches(node)
    return found


def names_read_in_branches(node: "onnx.NodeProto") -> set[str]:
    """Return the names that the branches of a node read; they may be of the graph around them."""
    found: set[str] = set()
    for inner in inner_graphs(node):
        found |= names_read(inner.node) | {output.name for output in inner.output}
    return found


def load_graph(path: Path) -> "onnx.ModelProto":
    """Return the graph in a file. Weights beside it are not read.

    Raises:
        BundleInvalid: the file is not an ONNX graph, or is damaged.
    """
    import onnx

    try:
        _check_file(path)
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise BundleInvalid(f"{path} cannot be read: {error.strerror}") from error
    except BundleInvalid:
        raise
    except Exception as error:
        raise _damaged(path, one_line(error)) from error
    if not model.graph.output:
        raise _damaged(path, "it has no output")
    if not _texts_are_valid(model):
        raise _damaged(path, "it has a name that is not UTF-8")
    return model


def _check_file(path: Path) -> None:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise BundleInvalid(f"{path} has {size:,} bytes, and a graph at most {_MAX_BYTES:,}: download it again")
    check_not_lfs_pointer(path)


def _damaged(path: Path, why: str) -> BundleInvalid:
    return BundleInvalid(f"{path} is not an ONNX graph, or is damaged ({why}): download it again")


def _texts_are_valid(message: "Message") -> bool:
    """Return whether all texts of a message are UTF-8. protobuf does not check those of ONNX, and returns bytes."""
    for field, value in _fields(message):
        if field.type == field.TYPE_STRING:
            texts = [value] if isinstance(value, str | bytes) else value
            if not all(isinstance(text, str) for text in texts):
                return False
        elif field.type == field.TYPE_MESSAGE:
            messages = [value] if hasattr(value, "ListFields") else value
            if not all(map(_texts_are_valid, messages)):
                return False
    return True


def _fields(message: "Message") -> Iterable[tuple[Any, Any]]:
    """Return the fields of a message that have a value. Those with the bytes of weights would be copied."""
    from onnx import TensorProto

    if not isinstance(message, TensorProto):
        return message.ListFields()
    fields = TensorProto.DESCRIPTOR.fields_by_name
    return [(fields[name], getattr(message, name)) for name in ("name", "external_data")]


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
