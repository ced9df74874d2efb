"""The ONNX graph of a model, with one logit a pair: a decoder's by decoder.py, that of a model with code of its own by
encoder.py, any other's by optimum."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.decoder import export_decoder
from rerank_export.encoder import export_encoder
from rerank_export.errors import ExportFailed, is_disk_full, one_line
from rerank_export.scoring import Scoring
from rerank_export.source import Source, check_trust, has_own_code

OPSET = 18
"""optimum-onnx's own default."""


def export_graph(source: Source, scoring: Scoring, folder: Path) -> onnx.ModelProto:
    """Export a model's graph in fp32, its weights within.

    Raises:
        ExportFailed: it cannot be exported.
    """
    try:
        if scoring.decoder:
            return export_decoder(source, scoring, folder / "model.onnx", OPSET)
        if source.trusted and has_own_code(source):
            return one_logit(export_encoder(source, folder / "model.onnx", OPSET), scoring.rows)
        return one_logit(_export_by_optimum(source, folder), scoring.rows)
    except ExportFailed:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise
        check_trust(source)
        exporter = "torch" if scoring.decoder else "optimum"
        raise ExportFailed(f"{exporter} cannot export {source.id}: {one_line(_cause(error))}") from error


def _cause(error: Exception) -> Exception:
    """Where torch cannot load a model, optimum tries TensorFlow, which is not there: that says nothing."""
    before = error.__context__
    return before if isinstance(error, ModuleNotFoundError) and isinstance(before, Exception) else error


def _export_by_optimum(source: Source, folder: Path) -> onnx.ModelProto:
    """The task is always given: `auto` finds text-ranking, which optimum cannot export
    (https://github.com/huggingface/optimum/issues/2355). optimum's own validation is left out, since it only
    warns; ours is parity.py."""
    from optimum.exporters.onnx import main_export

    main_export(
        str(source.folder),
        output=folder,
        task="text-classification",
        library_name="transformers",  # else a folder with modules.json is taken for an embedding model
        opset=OPSET,
        dtype="fp32",
        do_validation=False,
    )
    return onnx.load(folder / "model.onnx")


def one_logit(model: onnx.ModelProto, rows: Sequence[int]) -> onnx.ModelProto:
    """Of two logits a pair the difference: its sigmoid is what softmax gives the first of `rows`."""
    if len(rows) == 1:
        return model
    graph = model.graph
    output = graph.output[0]
    both = f"{output.name}.both"
    for node in graph.node:
        node.output[:] = [both if name == output.name else name for name in node.output]
        node.input[:] = [both if name == output.name else name for name in node.input]
    for place in rows:
        graph.initializer.append(numpy_helper.from_array(np.array([place], np.int64), f"{both}.{place}"))
        graph.node.append(helper.make_node("Gather", [both, f"{both}.{place}"], [f"{both}.at.{place}"], axis=1))
    first, second = (f"{both}.at.{place}" for place in rows)
    graph.node.append(helper.make_node("Sub", [first, second], [output.name], name=f"{output.name}.difference"))
    output.type.tensor_type.shape.dim[1].dim_value = 1
    return model
