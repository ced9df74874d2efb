"""A bundle and an engine in, the graph to run out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.engine.kinds import Engine
from rerank_service.engine.runtime import Graph
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, file_digest
from rerank_service.models.variants.cache import Cache, key
from rerank_service.models.variants.recipes import FP16, FP16_PACKED, INT8_ROWS, recipe

if TYPE_CHECKING:
    import onnx


def graph_for(bundle: Bundle, engine: Engine, cache: Cache) -> Graph:
    """The graph that an engine runs: the bundle's own, or one derived from it and kept.

    Raises:
        BundleInvalid: it cannot be derived.
    """
    name = recipe(engine)
    if not name:
        return bundle.graph
    return bundle.variant(engine) or _derived(bundle, name, cache)


def identity(bundle: Bundle) -> str:
    """The digest of what the bundle's logits depend on; for a folder without one, that of its tokenizer, its graph and
    the graph's weights."""
    if bundle.logits_digest:
        return bundle.logits_digest
    return key(*(f"{path.name} {file_digest(path)}" for path in (bundle.tokenizer, *graph_files(bundle.graph))))


def graph_files(graph: Path) -> list[Path]:
    """A graph, and the files beside it that hold its weights."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    try:
        model = onnx.load(graph, load_external_data=False)
    except Exception as error:
        raise BundleInvalid(f"{graph} is no ONNX graph: {error}") from error
    outside = (ExternalDataInfo(one).location for one in model.graph.initializer if uses_external_data(one))
    beside = [graph.parent / name for name in sorted(set(outside))]
    if missing := [path.name for path in beside if not path.is_file()]:
        raise BundleInvalid(f"{graph} has its weights in {', '.join(missing)}, which is not there")
    return [graph, *beside]


def _derived(bundle: Bundle, name: str, cache: Cache) -> Graph:
    rewrite = _REWRITES[name]()

    def write(path: Path) -> None:
        _save(_rewritten(bundle, rewrite), path)

    kept = cache.graph(key(identity(bundle), name), write)
    return kept or _rewritten(bundle, rewrite).SerializeToString()


Rewrite = Callable[["onnx.ModelProto"], int]


def _int8_rows() -> Rewrite:
    from rerank_service.models.variants.int8 import quantize_rows

    return quantize_rows


def _fp16() -> Rewrite:
    from rerank_service.models.variants.fp16 import halved

    return halved


def _fp16_packed() -> Rewrite:
    from rerank_service.models.variants.fp16 import halved_and_packed

    return halved_and_packed


_REWRITES: dict[str, Callable[[], Rewrite]] = {INT8_ROWS: _int8_rows, FP16: _fp16, FP16_PACKED: _fp16_packed}
"""What each recipe does; onnx is imported where one is asked for."""


def _rewritten(bundle: Bundle, rewrite: Rewrite) -> "onnx.ModelProto":
    import onnx

    try:
        model = onnx.load(bundle.graph)
        changed = rewrite(model)
    except Exception as error:
        raise BundleInvalid(f"{bundle.graph} cannot be rewritten: {error}") from error
    if not changed:
        raise BundleInvalid(f"{bundle.graph} has no product with constant weights that could be rewritten")
    return model


def _save(model: "onnx.ModelProto", path: Path) -> None:
    import onnx

    onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=f"{path.name}.data")
