"""A graph in fp16, for a GPU: fused, without padding where that can be, logits in fp32.

What fp16 cannot hold is refused, but for the constant that hides padding: the least that fp16 has hides it as well.
Angles of rotary positions stay fp32, since fp16 cannot tell positions from 2,048 on apart.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import structlog
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.runtime import FORM
from rerank_service.errors import BundleInvalid
from rerank_service.models.variants.fused import attentions, fused
from rerank_service.models.variants.packing import pack
from rerank_service.quantities import counted

_LARGEST = float(np.finfo(np.float16).max)
_ANGLES = ("Cos", "Sin")
_SMALL = 64
"""Elements up to which a constant is kept for the inference of types: shapes are, weights are not."""

_log = structlog.get_logger()


def halved_and_packed(model: onnx.ModelProto) -> int:
    """Rewrite, in place, a graph of fp32 to one of fp16 without padding, or with it where it cannot be taken out; gives
    how many nodes there are.

    Raises:
        BundleInvalid: a weight is beyond fp16, or the fused graph does not give the same logits.
    """
    return _rewrite(model, packing=True)


def halved(model: onnx.ModelProto) -> int:
    """The same with padding left in, as CUDA graphs need it: their shapes are fixed.

    Raises:
        BundleInvalid: as `halved_and_packed`.
    """
    return _rewrite(model, packing=False)


def _rewrite(model: onnx.ModelProto, *, packing: bool) -> int:
    types = dict(_types(model))
    result = fused(model)
    form = f"{counted(len(attentions(result)), 'attention')} fused"
    if packing:
        packed = pack(result)
        form += f", {packed.attentions} without padding" if packed.attentions else f", padded: {packed.reason}"
    result = to_fp16(result, types)
    helper.set_model_props(result, {FORM: form})
    _log.info("fp16 graph", form=form)
    model.CopyFrom(result)
    return len(model.graph.node)


def to_fp16(model: onnx.ModelProto, types: dict[str, int]) -> onnx.ModelProto:
    """Weights and activations in fp16, what comes in and goes out as it is. `types` are those of the tensors, as far as
    they are known: where an operator stays fp32, they say what is to be cast for it.

    Raises:
        BundleInvalid: a weight is beyond fp16.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    for name, tensor in _constants(model.graph):
        _must_hold(name, tensor)
    kept = {*_upstream_of_angles(model.graph), *_of_constants(model.graph)}
    kinds = [*DEFAULT_OP_BLOCK_LIST, *_ANGLES]
    # what only operators of fp32 make and read is not told, or it would be cast there and back
    others = [node for node in model.graph.node if node.name not in kept and node.op_type not in kinds]
    cast = {name for node in others for name in (*node.input, *node.output)}
    cast &= {name for node in model.graph.node for name in node.output} - {put.name for put in model.graph.output}
    del model.graph.value_info[:]
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, kind, None) for name, kind in types.items() if name in cast
    )
    result: onnx.ModelProto = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, op_block_list=kinds, node_block_list=list(kept)
    )
    del result.graph.value_info[:]  # of no more use, and not all true
    _order(result)
    return result


def _order(model: onnx.ModelProto) -> None:
    """Put the casts that were added, once for each reader and at the end, once and where they belong."""
    from onnxruntime.transformers.onnx_model import OnnxModel

    nodes = {node.output[0]: node for node in reversed(model.graph.node)}
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes.values()))
    OnnxModel(model).topological_sort()


def _must_hold(name: str, tensor: TensorProto) -> None:
    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    hides_padding = values.size == 1 and values.item() < -_LARGEST
    largest = np.abs(values).max(initial=0.0)
    if not hides_padding and not largest <= _LARGEST:
        raise BundleInvalid(f"{name} has values up to {largest:.3g}, and fp16 ends at {_LARGEST:.0f}: use fp32")


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], node.attribute[0].t


def _upstream_of_angles(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the nodes that the argument of a sine or a cosine is computed by."""
    made_by = {output: node for node in graph.node for output in node.output}
    pending = [name for node in graph.node if node.op_type in _ANGLES for name in node.input]
    seen: set[str] = set()
    while pending:
        node = made_by.get(pending.pop())
        if node is not None and node.output[0] not in seen:
            seen.add(node.output[0])
            pending += node.input
            yield node.name


def _of_constants(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the nodes that compute the same each time. onnxruntime computes them once, on the CPU, which has few
    kernels for fp16."""
    constant = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
            if node.input:
                yield node.name


def _types(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """The element type of each tensor, by ONNX's own inference: before anything is fused it knows all operators. Of the
    weights it is told sizes only, since it takes no model beyond 2 GB."""
    stub = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = stub.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    for info in onnx.shape_inference.infer_shapes(stub).graph.value_info:
        yield info.name, info.type.tensor_type.elem_type
