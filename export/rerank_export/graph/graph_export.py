"""The ONNX graph of a model, with one logit per pair.

A decoder and an encoder-decoder are exported by their own modules, any other model by optimum. torch_encoder.py exports
the models that optimum cannot export: those with their own code, and the architectures that it does not know. It also
exports DeBERTa and ModernBERT, which optimum exports in a slower form.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.errors import ExportFailed, is_disk_full, one_line
from rerank_export.graph.deberta_attention import has_disentangled_attention
from rerank_export.graph.modernbert_attention import is_modernbert
from rerank_export.graph.optimum_graph import export_by_optimum
from rerank_export.graph.torch_decoder import export_decoder
from rerank_export.graph.torch_encoder import export_encoder, has_fitting_inputs
from rerank_export.graph.torch_encoder_decoder import export_encoder_decoder
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_config import check_trust, has_own_code, read_config
from rerank_export.source.model_source import ModelSource
from rerank_service.models.graph_activation import ending

OPSET = 18
"""The default of optimum-onnx."""


def export_graph(source: ModelSource, scoring: Scoring, folder: Path) -> onnx.ModelProto:
    """Export a model's graph in fp32, with its weights in the returned object. `folder` receives temporary files.

    Inputs are int64 of shape (batch_size, sequence_length); the output `logits` is float32 of shape (batch_size, 1).

    Raises:
        ExportFailed: torch cannot load or export the model, or it returns no logits.
        OSError: the disk is full.
    """
    path = folder / "model.onnx"
    try:
        if scoring.decoder:
            return export_decoder(source, scoring, path, OPSET)
        if scoring.encoder_decoder:
            return export_encoder_decoder(source, scoring, path, OPSET)
        graph = _by_optimum(source, folder) or export_encoder(source, path, OPSET)
        _check_logits(source, graph)
        return one_logit(graph, scoring.rows)
    except ExportFailed:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise
        check_trust(source)
        raise ExportFailed(f"torch cannot export {source.id}: {one_line(error)}") from error


def _by_optimum(source: ModelSource, folder: Path) -> onnx.ModelProto | None:
    """Export a classifier by optimum; None if optimum does not know it, fails, or makes a slow graph or other inputs.

    Raises:
        OSError: the disk is full.
    """
    if source.trusted and has_own_code(source):
        return None
    config = read_config(source)
    if has_disentangled_attention(config) or is_modernbert(config):
        return None
    try:
        graph = export_by_optimum(source, folder, OPSET)
    except Exception as error:
        if is_disk_full(error):
            raise
        return None
    inputs = {graph_input.name for graph_input in graph.graph.input}
    return graph if has_fitting_inputs(source, inputs) else None


def _check_logits(source: ModelSource, graph: onnx.ModelProto) -> None:
    """Refuse a graph that ends with an activation: the server would apply a second one. The gate cannot notice it,
    because the model returns the same values."""
    if activation := ending(graph).activation:
        raise ExportFailed(
            f"{source.id} returns no logits: its code ends with the activation {activation.value}, and the server "
            "would apply another one. Change the code so that it returns the values before the activation"
        )


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
