"""Attention, norms and activations of a BERT-like encoder as the fused operators that onnxruntime has for them.

onnxruntime fuses some of this by itself when it loads a graph, but not attention as PyTorch exports it now, and packing
(packing.py) needs attention as one node. The patterns are those of `onnxruntime.transformers`; it drops the factor that
is written into a graph and the mask's form, believing that both are BERT's. So the logits are compared afterwards.

Rule: padding is on the right. The fused attention takes the number of tokens of a row, not a mask.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rerank_service.engine.runtime import Feed, open_session, session_options
from rerank_service.errors import BundleInvalid

ATTENTION = "Attention"
CONTRIB = "com.microsoft"
"""The domain of onnxruntime's own operators."""

_CLOSE = 1e-4
"""How far a logit may be from that of the graph before it was fused, absolute and as a share of the logit."""
_ROWS = (24, 7, 16, 3)
"""Tokens of the rows that are compared."""


def fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with fused operators where patterns are found; the model given is used up.

    A last layer that computes its first token only keeps its attention as it is: the fused one has as many queries as
    keys.

    Raises:
        BundleInvalid: the logits are not as before.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_by_fusion

    plain(model)
    feed = sample(model)
    before = cpu_logits(model, feed)
    options = FusionOptions("bert")  # of every model of the BERT kind; heads and width are read from the graph
    options.enable_embed_layer_norm = False  # it wants BERT's embeddings exactly, and costs a first layer nothing
    options.enable_shape_inference = False  # needs sympy, and tells nothing that the comparison does not
    with _quiet():
        result: onnx.ModelProto = optimize_by_fusion(model, "bert", optimization_options=options).model
    if all(one.domain != CONTRIB for one in result.opset_import):
        result.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    after = cpu_logits(result, feed)
    if not np.allclose(before, after, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
        raise BundleInvalid(f"fused, its logits differ by {np.abs(before - after).max():.1e}")
    return result


def attentions(model: onnx.ModelProto) -> list[NodeProto]:
    """Nodes that are a whole attention, with its products."""
    return [node for node in model.graph.node if node.op_type == ATTENTION and node.domain == CONTRIB]


def plain(model: onnx.ModelProto) -> None:
    """Take out, in place, what stands between operators and hides patterns: casts that widen stored weights, and casts
    to the type that a cast has just made."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored and _target(node) == TensorProto.FLOAT:
            wide = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
        elif node.op_type == "Cast" and _is_cast_to(made_by.get(node.input[0]), _target(node)):
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            nodes.append(node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for output in graph.output:
        if output.name in renamed:
            raise BundleInvalid(f"the graph's output {output.name} is a cast that does nothing")
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unread(graph)


def cpu_logits(model: onnx.ModelProto, feed: Feed) -> NDArray[np.float32]:
    """What a graph gives on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, path, save_as_external_data=True, location="data")  # takes the weights out of it
        onnx.load_external_data_for_model(model, folder)
        session = open_session(path, session_options(), providers=["CPUExecutionProvider"])
        result: NDArray[np.float32] = session.run(None, {put.name: feed[put.name] for put in session.get_inputs()})[0]
    return result


def sample(model: onnx.ModelProto) -> Feed:
    """Rows of random ids that a graph knows, padded on the right, all arrays int64 of shape (rows, tokens)."""
    lengths = np.array(_ROWS)[:, None]
    places = np.arange(max(_ROWS))[None, :]
    mask = (places < lengths).astype(np.int64)
    ids = np.random.default_rng(0).integers(2, _vocabulary(model), mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


def _vocabulary(model: onnx.ModelProto) -> int:
    """Rows of the table that ids are looked up in."""
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    looked_up = (node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == "input_ids")
    return min((int(sizes[node.input[0]][0]) for node in looked_up if node.input[0] in sizes), default=3)


def _target(node: NodeProto) -> int:
    return next(one.i for one in node.attribute if one.name == "to")


def _is_cast_to(node: NodeProto | None, target: int) -> bool:
    return node is not None and node.op_type == "Cast" and _target(node) == target


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


@contextmanager
def _quiet() -> Iterator[None]:
    """It warns of the shape inference that it was told to leave out."""
    logger = logging.getLogger("fusion_skiplayernorm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
