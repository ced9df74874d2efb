"""Find or derive the graph that an engine runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.engine.kinds import Engine
from rerank_service.engine.runtime import Graph
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, file_digest
from rerank_service.models.variants.cache import Cache, key
from rerank_service.models.variants.external_weights import all_weights, load_with_weights
from rerank_service.models.variants.recipes import FP16, FP16_PACKED, INT8_COMPRESSED, INT8_ROWS, recipe
from rerank_service.models.variants.weight_check import graph_files

if TYPE_CHECKING:
    import onnx

_MAX_WEIGHTS_IN_MEMORY = 2**31 - 2**26
"""Maximum bytes of the weights of a graph that is not in a file: protobuf's limit is 2 GiB, and the nodes need some."""


def graph_for(bundle: Bundle, engine: Engine, cache: Cache) -> Graph:
    """Return the graph that an engine runs: one of the bundle's, or one that is derived and cached.

    Raises:
        BundleInvalid: the graph cannot be derived.
    """
    name = recipe(engine)
    if not name:
        return bundle.graph
    return bundle.variant(engine) or _derived(bundle, engine, cache)


def identity(bundle: Bundle) -> str:
    """Return a digest of everything that the logits of a bundle depend on.

    For a hub folder, it covers the tokenizer, the graph, the files with the weights, and their entries in the
    configuration.
    """
    if bundle.logits_digest:
        return bundle.logits_digest
    files = (bundle.tokenizer, *graph_files(bundle.graph))
    return key(bundle.manifest.logits_digest, *(f"{path.name} {file_digest(path)}" for path in files))


def _derived(bundle: Bundle, engine: Engine, cache: Cache) -> Graph:
    name = recipe(engine)
    rewrite = _REWRITES[name](bundle)

    def write(path: Path) -> None:
        _save(_rewritten(bundle, rewrite), path)
        bundle.check_unchanged()  # else the cache would keep the weights of another model

    cached = cache.graph(key(identity(bundle), name), write)
    return cached or _serialized(_rewritten(bundle, rewrite), engine)


def _serialized(model: "onnx.ModelProto", engine: Engine) -> bytes:
    """Return the bytes of a graph with its weights, for which no file could be written.

    Raises:
        BundleInvalid: there are more than protobuf allows.
    """
    if sum(len(tensor.raw_data) for tensor in all_weights(model.graph)) > _MAX_WEIGHTS_IN_MEMORY:
        raise BundleInvalid(
            f"the graph for {engine} has more than 2 GiB and needs a cache that can be written: set RERANK_CACHE, or "
            "export the graph with `rerank export --precisions`"
        ) from OSError("the cache cannot be written")  # a later start may write it, so no tuning remembers the error
    serialized: bytes = model.SerializeToString()
    return serialized


Rewrite = Callable[["onnx.ModelProto"], int]
"""Rewrites a graph in place, and returns the number of changed nodes."""


def _int8_rows(_: Bundle) -> Rewrite:
    from rerank_service.models.variants.int8 import quantize_rows

    return quantize_rows


def _int8_compressed(bundle: Bundle) -> Rewrite:
    from rerank_service.models.variants.compressed import compress_weights
    from rerank_service.models.variants.left_out import left_out_products

    return partial(compress_weights, left_out=left_out_products(bundle))


def _fp16(bundle: Bundle) -> Rewrite:
    from rerank_service.models.variants.fp16 import rewrite_fp16

    return partial(rewrite_fp16, form=bundle.manifest.output_form)


def _fp16_packed(bundle: Bundle) -> Rewrite:
    from rerank_service.models.variants.fp16 import rewrite_fp16_packed

    return partial(rewrite_fp16_packed, form=bundle.manifest.output_form)


_REWRITES: dict[str, Callable[[Bundle], Rewrite]] = {
    INT8_ROWS: _int8_rows,
    INT8_COMPRESSED: _int8_compressed,
    FP16: _fp16,
    FP16_PACKED: _fp16_packed,
}
"""Functions that import onnx and return the rewrite of a recipe for a bundle."""


def _rewritten(bundle: Bundle, rewrite: Rewrite) -> "onnx.ModelProto":
    try:
        model = load_with_weights(bundle.graph)
        changed = rewrite(model)
    except Exception as error:
        raise BundleInvalid(f"{bundle.graph} cannot be rewritten: {error}") from error
    if not changed:
        raise BundleInvalid(f"{bundle.graph} has no product with constant weights to rewrite")
    return model


def _save(model: "onnx.ModelProto", path: Path) -> None:
    import onnx

    onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=f"{path.name}.data")
