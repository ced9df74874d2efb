"""fp16 graphs for a GPU, checked on a CPU. Covers fusion, packing and fp16."""

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.logits import GraphActivation, OutputForm
from rerank_service.engine.process_memory import process_memory
from rerank_service.engine.runtime import REWRITE_KEY, Feed, open_session, session_options
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.models.variants.fp16 import rewrite_fp16, rewrite_fp16_packed, to_fp16
from rerank_service.models.variants.fusion import cpu_output, fuse, remove_casts, sample_feed
from rerank_service.models.variants.packing import pack
from rerank_service.models.variants.recipes import recipe
from support.contrib import reference_logits
from support.plain_bert import LAYERS, PLAIN_BERT


def _bert() -> onnx.ModelProto:
    model = onnx.load(PLAIN_BERT)
    remove_casts(model)
    return model


def _kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def _rewrite_summary(model: onnx.ModelProto) -> str:
    return {entry.key: entry.value for entry in model.metadata_props}[REWRITE_KEY]


def test_fused_graph_has_the_same_logits() -> None:
    """All layers but the last have their attention as one operator. The last layer has a query of one token."""
    model = _bert()
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    result = fuse(model)
    kinds = _kinds(result)
    assert kinds["Attention"] == LAYERS - 1
    assert kinds["SkipLayerNormalization"] == 2 * LAYERS
    assert kinds["BiasGelu"] == LAYERS
    assert kinds["Softmax"] == 1
    np.testing.assert_allclose(cpu_output(result, feed), before, rtol=0, atol=1e-5)


def test_unread_weights_are_removed_without_a_copy_of_the_others() -> None:
    """protobuf frees no part of a message: a second list of weights would double their memory."""
    size = 8 * 2**20
    model = _bert()
    for number in range(12):
        model.graph.initializer.add(
            name=f"large-{number}", data_type=TensorProto.INT8, dims=[size], raw_data=b"\1" * size
        )
        if number:
            model.graph.node.add(op_type="Identity", input=[f"large-{number}"], output=[f"copy-{number}"])
    before = process_memory()
    remove_casts(model)
    after = process_memory()
    assert before is not None
    assert after is not None
    assert after.held - before.held < 4 * size
    left = {tensor.name for tensor in model.graph.initializer}
    assert "large-0" not in left
    assert len(left & {f"large-{number}" for number in range(12)}) == 11


def test_packed_graph_has_the_same_logits() -> None:
    """Computed from the definitions of the operators: there are no kernels for a CPU."""
    model = _bert()
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    result = fuse(model)
    assert pack(result).attentions == LAYERS - 1
    kinds = _kinds(result)
    assert kinds["Attention"] == 0
    assert kinds["PackedAttention"] == LAYERS - 1
    assert kinds["RemovePadding"] == 1
    assert kinds["RestorePadding"] == 3  # the last layer's rows: itself, its keys, its values
    np.testing.assert_allclose(reference_logits(result, feed), before, rtol=0, atol=1e-4)


def test_packed_graph_ignores_padding_tokens() -> None:
    """Other ids after the end of a row give the same logits."""
    result = fuse(_bert())
    assert pack(result).attentions
    feed = sample_feed(result)
    other = {**feed, "input_ids": np.where(feed["attention_mask"], feed["input_ids"], 12)}
    np.testing.assert_array_equal(reference_logits(result, other), reference_logits(result, feed))


def test_fp16_graph_has_nearly_the_same_logits() -> None:
    """On the CPU, where operators without an fp16 kernel compute in fp32 between casts."""
    model = _bert()
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    assert rewrite_fp16(model)
    assert _rewrite_summary(model) == "5 attentions fused"
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]
    assert {tensor.data_type for tensor in weights} == {TensorProto.FLOAT16}
    after = cpu_output(model, feed)
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-2)


def test_packed_graph_computes_each_tensor_before_it_is_read() -> None:
    """Each tensor is the output of one node. Inputs and outputs of the graph are unchanged."""
    model = _bert()
    interface = [(put.name, put.type) for put in (*model.graph.input, *model.graph.output)]
    assert rewrite_fp16_packed(model)
    assert _rewrite_summary(model) == "5 attentions fused, 5 without padding"
    known = {put.name for put in model.graph.input} | {tensor.name for tensor in model.graph.initializer} | {""}
    for node in model.graph.node:
        assert known.issuperset(node.input), node.name
        assert not known.intersection(node.output), node.name
        known.update(node.output)
    assert [(put.name, put.type) for put in (*model.graph.input, *model.graph.output)] == interface


def test_onnxruntime_accepts_the_operators_of_the_packed_graph() -> None:
    """With their types and shapes. Only the CPU kernels are missing."""
    model = _bert()
    assert rewrite_fp16_packed(model)
    with pytest.raises(BundleInvalid, match=r"Failed to find kernel for com\.microsoft\.RemovePadding"):
        open_session(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])


def test_starter_in_fp16_has_nearly_the_same_logits(starter: Bundle) -> None:
    """Its attention has a mask that separates query and document, which the fused operators do not have."""
    model = onnx.load(starter.graph)
    remove_casts(model)
    feed = sample_feed(model)
    before = cpu_output(model, feed)
    assert rewrite_fp16_packed(model)
    assert _rewrite_summary(model) == "0 attentions fused, padded: it has no attention that could be fused"
    np.testing.assert_allclose(cpu_output(model, feed), before, rtol=0, atol=2e-2)


def test_graph_without_attention_keeps_its_padding(small_model: Bundle) -> None:
    """The reason is recorded in the graph."""
    model = onnx.load(small_model.graph)
    assert pack(model).reason == "it has no attention that could be fused"
    assert rewrite_fp16_packed(model)
    assert _rewrite_summary(model) == "0 attentions fused, padded: it has no attention that could be fused"


def _product(
    weights: float, mask: float, *, angles: bool = False, sigmoid: bool = False, kind: int = TensorProto.INT64
) -> onnx.ModelProto:
    """Return a graph that computes tokens * weights + mask; with `angles`, of the sine and cosine of the tokens.

    `sigmoid`: it ends with a sigmoid. `kind`: the type of its inputs.
    """
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"], name="ids"),
        helper.make_node("Cast", ["ids"], ["tokens"], to=TensorProto.FLOAT, name="widen"),
    ]
    if angles:
        nodes += [
            helper.make_node("Mul", ["tokens", "frequency"], ["angle"], name="turn"),
            helper.make_node("Cos", ["angle"], ["cos"], name="cos"),
            helper.make_node("Sin", ["angle"], ["sin"], name="sin"),
            helper.make_node("Add", ["cos", "sin"], ["turned"], name="both"),
        ]
    nodes += [
        helper.make_node("Mul", ["turned" if angles else "tokens", "weights"], ["product"], name="product"),
        helper.make_node("Add", ["product", "mask"], ["sum" if sigmoid else "logits"], name="mask"),
    ]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["sum"], ["logits"], name="sigmoid"))
    constants = [
        numpy_helper.from_array(np.full((1, 1), weights, np.float32), "weights"),
        numpy_helper.from_array(np.array(mask, np.float32), "mask"),
        numpy_helper.from_array(np.array(1.001, np.float32), "frequency"),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info(name, kind, ["rows", "length"]) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "length"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _feed(*ids: int) -> Feed:
    return {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}


def _fused_wrongly(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """Let the fusion of onnxruntime add a number to the tensor `mask`."""

    def fused(model: onnx.ModelProto, *_: object, **__: object) -> SimpleNamespace:
        [mask] = (tensor for tensor in model.graph.initializer if tensor.name == "mask")
        mask.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(mask) + np.float32(by), "mask"))
        return SimpleNamespace(model=model)

    monkeypatch.setattr("onnxruntime.transformers.optimizer.optimize_by_fusion", fused)


def test_fused_graph_with_a_sigmoid_is_compared_by_its_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near a logit of -10, a difference of 1 moves the probability by less than 0.0001."""
    _fused_wrongly(monkeypatch, by=1.0)
    with pytest.raises(BundleInvalid, match=r"the logits of the fused graph differ by 1\.0e\+00"):
        fuse(_product(1.0, -12.0, sigmoid=True), OutputForm(activation=GraphActivation.SIGMOID))


def test_rounding_of_a_probability_near_1_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between 14 and 14.05 there is at most one other probability in float32."""
    _fused_wrongly(monkeypatch, by=0.05)
    assert fuse(_product(0.0, 14.0, sigmoid=True), OutputForm(activation=GraphActivation.SIGMOID))
    with pytest.raises(BundleInvalid, match="differ by 5"):
        fuse(_product(0.0, 9.0, sigmoid=True), OutputForm(activation=GraphActivation.SIGMOID))


def test_output_with_the_logits_of_a_fused_graph_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one."""
    model = _product(1.0, 0.0)
    model.graph.output.insert(0, helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["rows", "length"]))
    _fused_wrongly(monkeypatch, by=1.0)
    with pytest.raises(BundleInvalid, match="the logits of the fused graph differ"):
        fuse(model)


def test_graph_with_int32_inputs_is_fused() -> None:
    """Some tools write such graphs. CrossEncoder accepts them, too."""
    assert fuse(_product(1.0, 0.0, kind=TensorProto.INT32))


def test_weights_beyond_fp16_are_rejected() -> None:
    """They are not clipped. The message names the tensor."""
    with pytest.raises(BundleInvalid, match=r"weights has values up to 7e\+04, beyond the fp16 maximum of 65504"):
        to_fp16(_product(70_000.0, 0.0), {})
    with pytest.raises(BundleInvalid, match="mask has values up to 7e"):
        to_fp16(_product(1.0, 70_000.0), {})


def test_mask_constant_becomes_the_minimum_of_fp16() -> None:
    """-3.4e38 is beyond fp16, and -inf would give NaN for rows that are all padding."""
    result = to_fp16(_product(1.0, float(np.finfo(np.float32).min)), {})
    mask = next(tensor for tensor in result.graph.initializer if tensor.name == "mask")
    assert numpy_helper.to_array(mask) == np.finfo(np.float16).min


def test_angles_are_computed_in_fp32() -> None:
    """Positions 4,000 and 4,001 must differ. Sine and cosine read one angle, which is cast once."""
    model = _product(1.0, 0.0, angles=True)
    ids = _feed(4000, 4001, 7)
    before = cpu_output(model, ids)
    assert rewrite_fp16(model)
    np.testing.assert_allclose(cpu_output(model, ids), before, rtol=0, atol=2e-2)


def test_activation_at_the_end_is_computed_in_fp32() -> None:
    """In fp16, the probabilities of all logits above 8.3 are 1."""
    model = _product(1.0, 0.0, sigmoid=True)
    result = to_fp16(model, {"sum": TensorProto.FLOAT})
    nodes = {node.output[0]: node for node in result.graph.node}
    [sigmoid] = (node for node in result.graph.node if node.op_type == "Sigmoid")
    cast = nodes[sigmoid.input[0]]
    assert (cast.op_type, cast.attribute[0].i) == ("Cast", TensorProto.FLOAT)
    assert nodes["logits"] is sigmoid  # no cast to fp16 and back
    [probabilities] = cpu_output(result, _feed(9, 11))
    assert np.log(probabilities / (1 - probabilities)) == pytest.approx(np.array([9, 11]), abs=0.01)


def test_padded_and_packed_graphs_are_cached_separately(starter: Bundle, tmp_path: Path) -> None:
    """CUDA graphs need fixed shapes, which a packed graph does not have."""
    packed = Engine(Provider.CUDA, Precision.FP16)
    padded = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
    cache = Cache(tmp_path / "cache")
    bert = Bundle(tmp_path, starter.manifest)
    shutil.copy(PLAIN_BERT, bert.graph)
    summaries = []
    for engine in (packed, padded):
        graph = graph_for(bert, engine, cache)
        assert isinstance(graph, Path)
        assert graph_for(bert, engine, cache) == graph
        summaries.append(_rewrite_summary(onnx.load(graph, load_external_data=False)))
    assert summaries == ["5 attentions fused, 5 without padding", "5 attentions fused"]
    assert recipe(packed) != recipe(padded)
