"""The ONNX graph of a model, with one logit per pair.

A decoder is exported by torch_decoder.py, a model with its own code by torch_encoder.py, any other model by optimum.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.errors import ExportFailed, is_disk_full, one_line
from rerank_export.graph.torch_decoder import export_decoder
from rerank_export.graph.torch_encoder import export_encoder
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_config import check_trust, has_own_code
from rerank_export.source.model_source import ModelSource

OPSET = 18
"""The default of optimum-onnx."""


def export_graph(source: ModelSource, scoring: Scoring, folder: Path) -> onnx.ModelProto:
    """Export a model's graph in fp32, with its weights in the returned object. `folder` receives temporary files.

    Inputs are int64 of shape (batch_size, sequence_length); the output `logits` is float32 of shape (batch_size, 1).

    Raises:
        ExportFailed: torch or optimum cannot export the model.
        OSError: the disk is full.
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
    """Return the error of torch: optimum hides it by trying TensorFlow next, which is not installed."""
    before = error.__context__
    return before if isinstance(error, ModuleNotFoundError) and isinstance(before, Exception) else error


def _export_by_optimum(source: ModelSource, folder: Path) -> onnx.ModelProto:
    """Export a model with `main_export` of optimum-onnx.

    The task is always given: `auto` finds text-ranking, which optimum cannot export
    (https://github.com/huggingface/optimum/issues/2355). Validation by optimum is off, since it only warns; the gate
    compares the logits.
    """
    from optimum.exporters.onnx import main_export

    main_export(
        str(source.folder),
        output=folder,
        task="text-classification",
        library_name="transformers",  # without it, a folder with modules.json is taken for an embedding model
        opset=OPSET,
        dtype="fp32",
        do_validation=False,
    )
    return onnx.load(folder / "model.onnx")


def one_logit(model: onnx.ModelProto, rows: Sequence[int]) -> onnx.ModelProto:
    """Append the difference of two logits to a graph that gives two. Its sigmoid equals softmax's first probability.

    `rows` are the indexes of the logits: the first minus the second. A graph with one row is returned unchanged.
    """
    if len(rows) == 1:
        return model
    graph = model.graph
    output = graph.output[0]
    both = f"{output.name}.both"
    for node in graph.node:
        node.output[:] = [both if name == output.name else name for name in node.output]
        node.input[:] = [both if name == output.name else name for name in node.input]
    for row in rows:
        graph.initializer.append(numpy_helper.from_array(np.array([row], np.int64), f"{both}.{row}"))
        graph.node.append(helper.make_node("Gather", [both, f"{both}.{row}"], [f"{both}.at.{row}"], axis=1))
    first, second = (f"{both}.at.{row}" for row in rows)
    graph.node.append(helper.make_node("Sub", [first, second], [output.name], name=f"{output.name}.difference"))
    output.type.tensor_type.shape.dim[1].dim_value = 1
    return model
