"""The int8 and fp16 graphs, written to the bundle's folder. Weights that graphs share are stored once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import onnx

from rerank_export.errors import ExportFailed, one_line
from rerank_export.graph.weight_storage import save_graph, share_weights
from rerank_export.variants.int8_sensitivity import write_int8
from rerank_service.engine.logits import OutputForm
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.manifest import Variant
from rerank_service.models.variants.external_weights import load_with_weights
from rerank_service.models.variants.fp16 import rewrite_fp16, rewrite_fp16_packed
from rerank_service.models.variants.fusion import ATTENTION
from rerank_service.models.variants.packing import PACKED

_INT8_GRAPH, _FP16_GRAPH, _PACKED_GRAPH = "model.int8.onnx", "model.fp16.onnx", "model.fp16-packed.onnx"


@dataclass(frozen=True, slots=True)
class BundleGraph:
    """A graph in the bundle's folder."""

    variant: Variant
    int8_products: int = 0
    """Number of matrix products computed in int8."""
    left_out: tuple[str, ...] = ()
    """Names of the products that stay in fp32, the most sensitive first."""


@dataclass(frozen=True, slots=True)
class Fp16Graphs:
    """The fp16 graphs that could be made."""

    made: tuple[BundleGraph, ...] = ()
    not_made: tuple[str, ...] = ()
    """File and reason, for each graph that could not be made."""


def int8_graphs(bundle: Bundle, candidates: Iterable[tuple[str, ...]]) -> Iterator[BundleGraph]:
    """Write an int8 graph for each candidate, a list of products that stay in fp32. Each replaces the one before.

    Raises:
        ExportFailed: the graph has no product that int8 applies to.
    """
    variant = Variant(file=_INT8_GRAPH, precision="int8", weights="int8", provider="cpu")
    for left_out in candidates:
        _remove(bundle, variant)
        products = write_int8(bundle, bundle.folder / _INT8_GRAPH, left_out)
        if not products:
            raise ExportFailed("the graph has no matrix product with constant weights: omit int8 from --precisions")
        yield BundleGraph(variant, products, left_out)


def fp16_graphs(bundle: Bundle) -> Fp16Graphs:
    """Write the fp16 graph for CUDA with padding, and the one without padding if the attention can be packed.

    Raises:
        ExportFailed: the model cannot be computed in fp16.
    """
    padded = Variant(file=_FP16_GRAPH, precision="fp16", weights="fp16", provider="cuda")
    packed = Variant(file=_PACKED_GRAPH, precision="fp16", weights="fp16", provider="cuda", layout="packed")
    model = _rewritten(bundle, rewrite_fp16)
    fused = _operators(model) & {ATTENTION}
    _write(bundle, model, padded)
    model = _rewritten(bundle, rewrite_fp16_packed)
    if PACKED not in _operators(model):
        reason = "its attention cannot be packed" if fused else "no attention could be fused"
        return Fp16Graphs((BundleGraph(padded),), (f"{_PACKED_GRAPH}: {reason}",))
    _write(bundle, model, packed)
    return Fp16Graphs((BundleGraph(padded), BundleGraph(packed)))


def _remove(bundle: Bundle, variant: Variant) -> None:
    """Delete a graph and its own weight file."""
    for name in (variant.file, f"{variant.file}.data"):
        (bundle.folder / name).unlink(missing_ok=True)


def _rewritten(bundle: Bundle, rewrite: Callable[[onnx.ModelProto, OutputForm], int]) -> onnx.ModelProto:
    model = load_with_weights(bundle.graph)
    try:
        rewrite(model, bundle.manifest.output_form)
    except BundleInvalid as error:
        raise ExportFailed(f"the fp16 graph cannot be made: {error}. Omit fp16 from --precisions") from error
    except Exception as error:
        raise ExportFailed(f"the fp16 graph cannot be made: {one_line(error)}. Omit fp16 from --precisions") from error
    return model


def _operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def _write(bundle: Bundle, model: onnx.ModelProto, variant: Variant) -> None:
    for graph in sorted(bundle.folder.glob("*.onnx")):
        share_weights(model, graph)
    save_graph(model, bundle.folder / variant.file, f"{variant.file}.data")
