"""Fuse attention, norms and activations of a BERT-like encoder into operators of onnxruntime.

onnxruntime fuses some of them by itself when it loads a graph, but not the attention that current versions of PyTorch
export, and packing.py needs attention as one node. The patterns are those of `onnxruntime.transformers`. It assumes the
scale and the mask of BERT without reading them from the graph, so the logits are compared after the fusion.

Rule: padding is on the right. The fused attention takes the number of tokens of a row, not a mask.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rerank_service.engine.graph_io import read_graph_io
from rerank_service.engine.logits import LOGITS, OutputForm
from rerank_service.engine.runtime import Feed, open_session, session_options
from rerank_service.errors import BundleInvalid
from rerank_service.models.graph_nodes import names_read, names_read_in_branches
from rerank_service.models.variants.constant_products import cast_target
from rerank_service.models.variants.external_weights import write_with_weights
from rerank_service.models.variants.temporary_folders import temporary_folder

ATTENTION = "Attention"
CONTRIB = "com.microsoft"
"""Domain of the operators that only onnxruntime has."""

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TOLERANCE = 1e-4
"""Maximum difference of a logit after the fusion, absolute and relative to the logit."""
_ROUNDING = 2
"""Maximum difference of an output that is rounding, in steps between neighbouring numbers. Near a probability of 1, one
step is a large difference of the logit."""
_ROW_TOKENS = (24, 7, 16, 3)
"""Number of tokens of each row that is compared."""


def fuse(model: onnx.ModelProto, form: OutputForm = LOGITS) -> onnx.ModelProto:
    """Return the graph with fused operators wherever a pattern matches. Changes the given model.

    `form` is the form of the output, whose logits are compared before and after. A last layer that computes only its
    first token keeps its attention: the fused operator needs as many queries as keys.

    Raises:
        BundleInvalid: the fused graph returns other logits.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_by_fusion

    remove_casts(model)
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    options = FusionOptions("bert")  # for BERT-like models; heads and width are read from the graph
    options.enable_embed_layer_norm = False  # matches the embeddings of BERT only, and saves little
    options.enable_shape_inference = False  # needs sympy, and the comparison below checks the result
    with _quiet():
        result: onnx.ModelProto = optimize_by_fusion(model, "bert", optimization_options=options).model
    if all(opset.domain != CONTRIB for opset in result.opset_import):
        result.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    _check_same(before, cpu_output(result, feed), form)
    return result


def _check_same(before: NDArray[Any], after: NDArray[Any], form: OutputForm) -> None:
    """Compare two outputs of one form by their logits.

    Raises:
        BundleInvalid: a logit differs by more than the tolerance and the rounding of the output.
    """
    before, after = (output.reshape(-1, form.values_per_pair) for output in (before, after))
    logits, others = form.logits(before), form.logits(after)
    same = np.isclose(logits, others, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        same |= np.all(np.abs(before - after) <= _ROUNDING * np.spacing(np.abs(before)), axis=1)
    if not same.all():
        difference = np.abs(logits - others)[~same].max()
        raise BundleInvalid(
            f"the logits of the fused graph differ by {difference:.1e}; the maximum is {_TOLERANCE:.0e}"
        )


def attentions(model: onnx.ModelProto) -> list[NodeProto]:
    """Return the nodes that compute a whole attention."""
    return [node for node in model.graph.node if node.op_type == ATTENTION and node.domain == CONTRIB]


def remove_casts(model: onnx.ModelProto) -> None:
    """Remove, in place, casts that hide the patterns of the fusion.

    These are casts of stored weights to fp32, also behind a lookup in them, and casts to the type that the cast before
    them produced.

    Raises:
        BundleInvalid: an output of the graph is such a cast.
    """
    graph = model.graph
    _widen_tables(graph)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    in_branches = {name for node in graph.node for name in names_read_in_branches(node)}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored and cast_target(node) == TensorProto.FLOAT:
            wide = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
        elif _repeats_cast(node, made_by) and not in_branches & set(node.output):
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            nodes.append(node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for output in graph.output:
        if output.name in renamed:
            raise BundleInvalid(f"the graph's output {output.name} is a cast without effect, which cannot be removed")
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unread(graph)


def _widen_tables(graph: onnx.GraphProto) -> None:
    """Store, in fp32, tables of 16 bits whose looked-up rows are cast to fp32 and nothing else. Remove these casts."""
    tables = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in _HALVES}
    readers = Counter(name for node in graph.node for name in (*node.input, *names_read_in_branches(node)))
    casts = {
        node.input[0]: node for node in graph.node if node.op_type == "Cast" and cast_target(node) == TensorProto.FLOAT
    }
    widened: dict[str, TensorProto] = {}
    for node in graph.node:
        cast = casts.get(node.output[0])
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if cast is None or table is None or readers[node.output[0]] != 1:
            continue
        wide = f"{table.name}.fp32"
        if wide not in widened:
            widened[wide] = numpy_helper.from_array(numpy_helper.to_array(table).astype(np.float32), wide)
        node.input[0], node.output[0] = wide, cast.output[0]
    replaced = {node.output[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in widened}
    nodes = [node for node in graph.node if node.op_type == "Gather" or node.output[0] not in replaced]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(widened.values())


def cpu_output(model: onnx.ModelProto, feed: Feed) -> NDArray[Any]:
    """Return the output of a graph that has the logits, or their probabilities, computed on the CPU.

    `feed` is converted to the types of the inputs. It may have more inputs than the graph.

    Raises:
        BundleInvalid: the graph is not a cross-encoder.
    """
    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / "model.onnx"
        write_with_weights(model, path)
        session = open_session(path, session_options(), providers=["CPUExecutionProvider"])
        graph_io = read_graph_io(session)
        inputs = {name: feed[name].astype(dtype, copy=False) for name, dtype in graph_io.inputs.items()}
        result: NDArray[Any] = session.run([graph_io.output], inputs)[0]
    return result


def sample_feed(model: onnx.ModelProto) -> Feed:
    """Return random token ids within the vocabulary of a graph, padded on the right.

    All arrays are int64 of shape (rows, tokens).
    """
    lengths = np.array(_ROW_TOKENS)[:, None]
    positions = np.arange(max(_ROW_TOKENS))[None, :]
    mask = (positions < lengths).astype(np.int64)
    ids = np.random.default_rng(0).integers(2, _vocabulary(model), mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


def _vocabulary(model: onnx.ModelProto) -> int:
    """Return the number of rows of the embedding table."""
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    lookups = (node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == "input_ids")
    return min((int(sizes[node.input[0]][0]) for node in lookups if node.input[0] in sizes), default=3)


def _repeats_cast(node: NodeProto, made_by: Mapping[str, NodeProto]) -> bool:
    return node.op_type == "Cast" and _is_cast_to(made_by.get(node.input[0]), cast_target(node))


def _is_cast_to(node: NodeProto | None, target: int) -> bool:
    return node is not None and node.op_type == "Cast" and cast_target(node) == target


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = names_read(graph.node) | {output.name for output in graph.output}
    for index in reversed(range(len(graph.initializer))):  # in place: a second list would copy all weights
        if graph.initializer[index].name not in read:
            del graph.initializer[index]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the optimizer's warning that shape inference is off."""
    logger = logging.getLogger("fusion_skiplayernorm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
