"""Graphs for a GPU, as far as a CPU can tell: fused, without padding, in fp16."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.runtime import FORM, open_session, session_options
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.models.variants.fp16 import halved, halved_and_packed, to_fp16
from rerank_service.models.variants.fused import cpu_logits, fused, plain, sample
from rerank_service.models.variants.packing import pack
from rerank_service.models.variants.recipes import recipe
from support.contrib import reference_logits

_LAYERS = 6


def _starter(bundle: Bundle) -> onnx.ModelProto:
    model = onnx.load(bundle.graph)
    plain(model)
    return model


def _kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def _form(model: onnx.ModelProto) -> str:
    return {entry.key: entry.value for entry in model.metadata_props}[FORM]


def test_fused_it_scores_the_same(starter: Bundle) -> None:
    """All layers but the last have their attention as one operator; the last has a query of one token."""
    model = _starter(starter)
    feed = sample(model)
    before = cpu_logits(model, feed)
    result = fused(model)
    kinds = _kinds(result)
    assert kinds["Attention"] == _LAYERS - 1
    assert kinds["SkipLayerNormalization"] == 2 * _LAYERS
    assert kinds["BiasGelu"] == _LAYERS
    assert kinds["Softmax"] == 1
    np.testing.assert_allclose(cpu_logits(result, feed), before, rtol=0, atol=1e-5)


def test_without_padding_it_scores_the_same(starter: Bundle) -> None:
    """Computed by what the operators are described to do; there is no kernel for a CPU."""
    model = _starter(starter)
    feed = sample(model)
    before = cpu_logits(model, feed)
    result = fused(model)
    assert pack(result).attentions == _LAYERS - 1
    kinds = _kinds(result)
    assert kinds["Attention"] == 0
    assert kinds["PackedAttention"] == _LAYERS - 1
    assert kinds["RemovePadding"] == 1
    assert kinds["RestorePadding"] == 3  # the last layer's rows: itself, its keys, its values
    np.testing.assert_allclose(reference_logits(result, feed), before, rtol=0, atol=1e-4)


def test_what_padding_holds_does_not_matter(starter: Bundle) -> None:
    """Other ids behind a row's end, the same logits."""
    result = fused(_starter(starter))
    assert pack(result).attentions
    feed = sample(result)
    other = {**feed, "input_ids": np.where(feed["attention_mask"], feed["input_ids"], 1234)}
    np.testing.assert_array_equal(reference_logits(result, other), reference_logits(result, feed))


def test_in_fp16_it_scores_nearly_the_same(starter: Bundle) -> None:
    """Run on the CPU, where operators without a kernel for fp16 compute in fp32 between casts."""
    model = _starter(starter)
    feed = sample(model)
    before = cpu_logits(model, feed)
    assert halved(model)
    assert _form(model) == "5 attentions fused"
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]
    assert {tensor.data_type for tensor in weights} == {TensorProto.FLOAT16}
    after = cpu_logits(model, feed)
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-2)


def test_every_tensor_of_the_packed_graph_is_made_before_it_is_read(starter: Bundle) -> None:
    """By one node, with what comes in and goes out as before."""
    model = _starter(starter)
    puts = [(put.name, put.type) for put in (*model.graph.input, *model.graph.output)]
    assert halved_and_packed(model)
    assert _form(model) == "5 attentions fused, 5 without padding"
    known = {put.name for put in model.graph.input} | {tensor.name for tensor in model.graph.initializer} | {""}
    for node in model.graph.node:
        assert known.issuperset(node.input), node.name
        assert not known.intersection(node.output), node.name
        known.update(node.output)
    assert [(put.name, put.type) for put in (*model.graph.input, *model.graph.output)] == puts


def test_onnxruntime_knows_each_operator_of_the_packed_graph(starter: Bundle) -> None:
    """With its types and shapes: all that is wanting on a CPU is a kernel."""
    model = _starter(starter)
    assert halved_and_packed(model)
    with pytest.raises(BundleInvalid, match=r"Failed to find kernel for com\.microsoft\.RemovePadding"):
        open_session(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])


def test_a_graph_without_attention_stays_padded(small_model: Bundle) -> None:
    """And says why."""
    model = onnx.load(small_model.graph)
    assert pack(model).reason == "it has no attention of a form that is known"
    assert halved_and_packed(model)
    assert _form(model) == "0 attentions fused, padded: it has no attention of a form that is known"


def _product(weights: float, mask: float, *, angles: bool = False) -> onnx.ModelProto:
    """tokens * weights + mask, where the tokens may be turned into angles before."""
    nodes = [helper.make_node("Cast", ["input_ids"], ["tokens"], to=TensorProto.FLOAT, name="widen")]
    if angles:
        nodes += [
            helper.make_node("Mul", ["tokens", "frequency"], ["angle"], name="turn"),
            helper.make_node("Cos", ["angle"], ["cos"], name="cos"),
            helper.make_node("Sin", ["angle"], ["sin"], name="sin"),
            helper.make_node("Add", ["cos", "sin"], ["turned"], name="both"),
        ]
    nodes += [
        helper.make_node("Mul", ["turned" if angles else "tokens", "weights"], ["product"], name="product"),
        helper.make_node("Add", ["product", "mask"], ["logits"], name="mask"),
    ]
    constants = [
        numpy_helper.from_array(np.full((1, 1), weights, np.float32), "weights"),
        numpy_helper.from_array(np.array(mask, np.float32), "mask"),
        numpy_helper.from_array(np.array(1.001, np.float32), "frequency"),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "length"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_weights_beyond_fp16_are_refused() -> None:
    """By name, instead of being cut."""
    with pytest.raises(BundleInvalid, match="weights has values up to 7e\\+04, and fp16 ends at 65504: use fp32"):
        to_fp16(_product(70_000.0, 0.0), {})
    with pytest.raises(BundleInvalid, match="mask has values up to 7e"):
        to_fp16(_product(1.0, 70_000.0), {})


def test_what_hides_padding_becomes_the_least_of_fp16() -> None:
    """-3.4e38 is not in fp16, and -inf would turn rows that are all padding into NaN."""
    result = to_fp16(_product(1.0, float(np.finfo(np.float32).min)), {})
    mask = next(tensor for tensor in result.graph.initializer if tensor.name == "mask")
    assert numpy_helper.to_array(mask) == np.finfo(np.float16).min


def test_angles_are_computed_in_fp32() -> None:
    """Position 4,001 is not 4,000; sine and cosine read one angle, which is cast once."""
    model = _product(1.0, 0.0, angles=True)
    ids = {"input_ids": np.array([[4000, 4001, 7]])}
    before = cpu_logits(model, ids)
    assert halved(model)
    np.testing.assert_allclose(cpu_logits(model, ids), before, rtol=0, atol=2e-2)


def test_graphs_with_padding_and_without_are_kept_apart(starter: Bundle, tmp_path: Path) -> None:
    """CUDA graphs have fixed shapes, and packing has none."""
    packed = Engine(Provider.CUDA, Precision.FP16)
    padded = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
    cache = Cache(tmp_path)
    forms = []
    for engine in (packed, padded):
        graph = graph_for(starter, engine, cache)
        assert isinstance(graph, Path)
        assert graph_for(starter, engine, cache) == graph
        forms.append(_form(onnx.load(graph, load_external_data=False)))
    assert forms == ["5 attentions fused, 5 without padding", "5 attentions fused"]
    assert recipe(packed) != recipe(padded)
