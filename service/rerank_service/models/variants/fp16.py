"""Derive the fp16 graph for a GPU: fused, without padding if possible, logits in fp32.

A weight beyond the range of fp16 is an error, except the constant that masks padding: the minimum of fp16 masks it as
well. Angles of rotary positions stay in fp32, because fp16 cannot distinguish positions from 2,048 on.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import structlog
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.logits import LOGITS, OutputForm
from rerank_service.engine.runtime import REWRITE_KEY
from rerank_service.errors import BundleInvalid
from rerank_service.models.graph_activation import ending
from rerank_service.models.variants.fusion import attentions, fuse
from rerank_service.models.variants.packing import pack
from rerank_service.models.variants.shared_prefix import compute_every_token
from rerank_service.quantities import counted

_MAX_FP16 = float(np.finfo(np.float16).max)
_ANGLES = ("Cos", "Sin")
_MAX_ELEMENTS = 64
"""Maximum elements of a constant that type inference receives. Constant shapes are smaller, weights are larger."""

_log = structlog.get_logger()


def rewrite_fp16_packed(model: onnx.ModelProto, form: OutputForm = LOGITS) -> int:
    """Rewrite, in place, an fp32 graph to an fp16 graph without padding. Return the number of nodes.

    `form` is the form of the graph's output. The graph keeps its padding if it cannot be packed.

    Raises:
        BundleInvalid: a weight is beyond the range of fp16, or the fused graph returns other logits.
    """
    return _rewrite(model, form, packing=True)


def rewrite_fp16(model: onnx.ModelProto, form: OutputForm = LOGITS) -> int:
    """Rewrite, in place, an fp32 graph to an fp16 graph with padding, for the fixed shapes of CUDA graphs.

    `form` is the form of the graph's output. Returns the number of nodes.

    Raises:
        BundleInvalid: a weight is beyond the range of fp16, or the fused graph returns other logits.
    """
    return _rewrite(model, form, packing=False)


def _rewrite(model: onnx.ModelProto, form: OutputForm, *, packing: bool) -> int:
    types = dict(_types(model))
    result = fuse(model, form)
    if not packing:
        compute_every_token(result)
    summary = f"{counted(len(attentions(result)), 'attention')} fused"
    if packing:
        packed = pack(result)
        summary += f", {packed.attentions} without padding" if packed.attentions else f", padded: {packed.reason}"
    result = to_fp16(result, types)
    helper.set_model_props(result, {REWRITE_KEY: summary})
    _log.info("derived the fp16 variant", variant=summary)
    model.CopyFrom(result)
    return len(model.graph.node)


def to_fp16(model: onnx.ModelProto, types: dict[str, int]) -> onnx.ModelProto:
    """Convert weights and activations to fp16; inputs and outputs keep their types.

    `types` are the known element types of tensors (onnx.TensorProto.DataType) by name. They are needed for casts before
    and after operators that stay in fp32.

    Raises:
        BundleInvalid: a weight is beyond the range of fp16.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    for name, tensor in _constants(model.graph):
        _check_range(name, tensor)
    # in fp16, the probabilities of all logits above 8.3 would be 1
    kept = {*_upstream_of_angles(model.graph), *_constant_nodes(model.graph), *ending(model).nodes}
    kinds = [*DEFAULT_OP_BLOCK_LIST, *_ANGLES]
    # tensors between two fp32 operators are left out, because they would be cast to fp16 and back
    fp16_nodes = [node for node in model.graph.node if node.name not in kept and node.op_type not in kinds]
    cast = {name for node in fp16_nodes for name in (*node.input, *node.output)}
    cast &= {name for node in model.graph.node for name in node.output} - {output.name for output in model.graph.output}
    del model.graph.value_info[:]
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, kind, None) for name, kind in types.items() if name in cast
    )
    result: onnx.ModelProto = convert_float_to_float16(
        model, keep_io_types=True, disable_shape_infer=True, op_block_list=kinds, node_block_list=list(kept)
    )
    del result.graph.value_info[:]  # no longer needed, and partly wrong
    _keep_fp32_outputs(result.graph)
    _order(result)
    return result


def _keep_fp32_outputs(graph: onnx.GraphProto) -> None:
    """Remove the casts of an output to fp16 and back, which the converter puts behind a node that stays in fp32."""
    made_by = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        widened = made_by.get(output.name)
        narrowed = made_by.get(widened.input[0]) if widened is not None and widened.op_type == "Cast" else None
        if widened is None or narrowed is None or narrowed.op_type != "Cast":
            continue
        kept = narrowed.input[0]
        for node in graph.node:
            node.input[:] = [output.name if name == kept else name for name in node.input]
        made_by[kept].output[:] = [output.name if name == kept else name for name in made_by[kept].output]
        graph.node.remove(widened)
        graph.node.remove(narrowed)


def _order(model: onnx.ModelProto) -> None:
    """Sort the nodes, and keep one of the equal casts that the converter appended, one per reader."""
    from onnxruntime.transformers.onnx_model import OnnxModel

    nodes = {node.output[0]: node for node in reversed(model.graph.node)}
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes.values()))
    OnnxModel(model).topological_sort()


def _check_range(name: str, tensor: TensorProto) -> None:
    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    masks_padding = values.size == 1 and values.item() < -_MAX_FP16
    largest = np.abs(values).max(initial=0.0)
    if not masks_padding and not largest <= _MAX_FP16:
        raise BundleInvalid(
            f"{name} has values up to {largest:.3g}, beyond the fp16 maximum of {_MAX_FP16:.0f}: use fp32"
        )


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], node.attribute[0].t


def _upstream_of_angles(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the nodes that compute the argument of a sine or a cosine."""
    made_by = {output: node for node in graph.node for output in node.output}
    pending = [name for node in graph.node if node.op_type in _ANGLES for name in node.input]
    seen: set[str] = set()
    while pending:
        node = made_by.get(pending.pop())
        if node is not None and node.output[0] not in seen:
            seen.add(node.output[0])
            pending += node.input
            yield node.name


def _constant_nodes(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names of the nodes whose inputs are all constant.

    onnxruntime computes them once, on the CPU, which has few kernels for fp16.
    """
    constant = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
            if node.input:
                yield node.name


def _types(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Yield the element type of each tensor, by the type inference of ONNX.

    It must run before the fusion, because it knows only standard operators. It receives the shapes of weights without
    their values, because it accepts no model above 2 GB.
    """
    stub = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = stub.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= _MAX_ELEMENTS:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    for info in onnx.shape_inference.infer_shapes(stub).graph.value_info:
        yield info.name, info.type.tensor_type.elem_type
