"""The graphs of a bundle beside its reference: written to its folder, with the weights that they share in one file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import onnx

from rerank_export.errors import ExportFailed, one_line
from rerank_export.sensitive import write_int8
from rerank_export.weights import save, share_weights
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, Variant
from rerank_service.models.variants.fp16 import halved, halved_and_packed
from rerank_service.models.variants.fused import ATTENTION
from rerank_service.models.variants.packing import PACKED

FP32, FP16, INT8 = "fp32", "fp16", "int8"
PRECISIONS = (FP32, FP16, INT8)
_INT8_GRAPH, _FP16_GRAPH, _PACKED_GRAPH = "model.int8.onnx", "model.fp16.onnx", "model.fp16-packed.onnx"


@dataclass(frozen=True, slots=True)
class Made:
    """A graph of the bundle."""

    variant: Variant
    products: int = 0
    """In 8 bits."""
    left_out: tuple[str, ...] = ()
    """Products that stay as they are, the most sensitive first."""


def chosen(precisions: str) -> frozenset[str]:
    """What `--precisions` asks for.

    Raises:
        ExportFailed: something that there is not, or nothing that a server could compare with.
    """
    names = [name.strip() for name in precisions.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(PRECISIONS)):
        raise ExportFailed(f"--precisions: there is no {', '.join(unknown)}; there are {', '.join(PRECISIONS)}")
    if not {FP32, FP16} & set(names):
        raise ExportFailed(f"--precisions {precisions!r} has neither {FP32} nor {FP16}: one is needed beside others")
    return frozenset(names)


def int8_attempts(bundle: Bundle, candidates: Iterable[tuple[str, ...]]) -> Iterator[Made]:
    """The int8 graph, without the products of each candidate; each replaces the one before."""
    variant = Variant(file=_INT8_GRAPH, precision="int8", weights="int8", provider="cpu")
    for left_out in candidates:
        remove(bundle, variant)
        products = write_int8(bundle, bundle.folder / _INT8_GRAPH, left_out)
        if not products:
            raise ExportFailed("int8: the graph has no product with constant weights that could be in 8 bits")
        yield Made(variant, products, left_out)


def fp16_graphs(bundle: Bundle) -> tuple[list[Made], list[str]]:
    """The graph for CUDA with padding and, where it can be had, without; and what could not be had, and why.

    Raises:
        ExportFailed: the model cannot be computed in fp16.
    """
    padded = Variant(file=_FP16_GRAPH, precision="fp16", weights="fp16", provider="cuda")
    packed = Variant(file=_PACKED_GRAPH, precision="fp16", weights="fp16", provider="cuda", layout="packed")
    model = _rewritten(bundle, halved)
    fused = _operators(model) & {ATTENTION}
    _write(bundle, model, padded)
    model = _rewritten(bundle, halved_and_packed)
    if PACKED not in _operators(model):
        reason = "its attention is not of the form that can be packed" if fused else "no attention could be fused"
        return [Made(padded)], [f"{_PACKED_GRAPH}: {reason}"]
    _write(bundle, model, packed)
    return [Made(padded), Made(packed)], []


def remove(bundle: Bundle, variant: Variant) -> None:
    """Take a graph, and the weights that only it has, away."""
    for name in (variant.file, f"{variant.file}.data"):
        (bundle.folder / name).unlink(missing_ok=True)


def _rewritten(bundle: Bundle, rewrite: Callable[[onnx.ModelProto], int]) -> onnx.ModelProto:
    model = onnx.load(bundle.graph)
    try:
        rewrite(model)
    except BundleInvalid as error:
        raise ExportFailed(f"fp16: {error}") from error
    except Exception as error:
        raise ExportFailed(f"fp16: the graph cannot be rewritten: {one_line(error)}") from error
    return model


def _operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def _write(bundle: Bundle, model: onnx.ModelProto, variant: Variant) -> None:
    for graph in sorted(bundle.folder.glob("*.onnx")):
        share_weights(model, graph)
    save(model, bundle.folder / variant.file, f"{variant.file}.data")
