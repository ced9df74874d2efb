"""Check that a graph has all its weights, before onnxruntime reads it.

onnxruntime would take memory for a damaged shape before it notices that there are no bytes for it.
"""

import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.error_text import short_line
from rerank_service.errors import BundleInvalid
from rerank_service.models.graph_nodes import BITS, load_graph, type_name
from rerank_service.models.variants.external_weights import all_weights, ends_within, external_weights, place
from rerank_service.quantities import counted

if TYPE_CHECKING:
    import onnx

_LISTS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
"""Fields of a tensor that may hold its values."""


def check_weights(model: "onnx.ModelProto", graph: Path) -> None:
    """Check that all weights of a graph are there, each with as many bytes as its shape needs.

    Raises:
        BundleInvalid: weights are missing, outside the folder of the graph, or of another size than the graph says.
    """
    from onnx.external_data_helper import uses_external_data

    missing = set()
    for tensor in all_weights(model.graph):
        if uses_external_data(tensor):
            if not (path := _check_beside(tensor, graph)).is_file():
                missing.add(path.name)
        elif tensor.HasField("raw_data"):
            _check_size(tensor, graph, len(tensor.raw_data))
        else:
            _check_values(tensor, graph)
    if missing:
        raise missing_weights(graph, missing)


def missing_weights(graph: Path, names: Collection[str]) -> BundleInvalid:
    """Return the error about files of weights that are not there."""
    shown = short_line(", ".join(sorted(names)))
    return BundleInvalid(f"{graph} has its weights in {shown}, which is missing: download it")


def _check_beside(tensor: "onnx.TensorProto", graph: Path) -> Path:
    """Check the weights in a file beside the graph, if it is there. Return its path."""
    path, offset, length = place(tensor, graph)
    if length:
        _check_size(tensor, graph, length)
    if path.is_file() and offset + (length or _size(tensor) or 0) > path.stat().st_size:
        raise ends_within(path, tensor)
    return path


def _check_size(tensor: "onnx.TensorProto", graph: Path, found: int) -> None:
    needed = _size(tensor)
    if needed is not None and needed != found:
        raise BundleInvalid(
            f"{graph} is damaged: the weights {short_line(tensor.name)} have {found:,} bytes, and their shape needs "
            f"{needed:,}: download it again"
        )


def _check_values(tensor: "onnx.TensorProto", graph: Path) -> None:
    """Check weights that are a list of numbers. Numbers of fewer than 8 bits are packed, as bytes are."""
    bits = BITS.get(type_name(tensor.data_type), 8)
    numbers = math.prod(tensor.dims) * (2 if type_name(tensor.data_type).startswith("COMPLEX") else 1)
    needed = -(-numbers * bits // 8) if bits < 8 else numbers
    found = sum(len(getattr(tensor, name)) for name in _LISTS)
    if needed != found:
        raise BundleInvalid(
            f"{graph} is damaged: the weights {short_line(tensor.name)} have {counted(found, 'value')}, and their "
            f"shape needs {needed:,}: download it again"
        )


def _size(tensor: "onnx.TensorProto") -> int | None:
    """Return the bytes that the shape and the type of a tensor need; None for types without a fixed size."""
    bits = BITS.get(type_name(tensor.data_type))
    return None if bits is None else -(-math.prod(tensor.dims) * bits // 8)


def graph_files(graph: Path) -> list[Path]:
    """Return the file of a graph, and the files beside it that hold its weights.

    Raises:
        BundleInvalid: the graph is not ONNX, or a file with weights is missing.
    """
    weights = sorted({place(tensor, graph)[0] for tensor in external_weights(load_graph(graph))})
    if missing := [path.name for path in weights if not path.is_file()]:
        raise missing_weights(graph, missing)
    return [graph, *weights]
