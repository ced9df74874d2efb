"""The pass that computes the last layer for the first token only keeps the logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rerank_export.graph.graph_export import export_graph
from rerank_export.graph.passes.first_token import shorten_last_layer
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource

SIZE: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 1,
}
DEBERTA: dict[str, Any] = {
    "relative_attention": True,
    "position_buckets": 32,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "type_vocab_size": 0,
}
MODERNBERT: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "reference_compile": False}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZE),
    "roberta": ("Roberta", SIZE),
    "xlm-roberta": ("XLMRoberta", SIZE),
    "distilbert": ("DistilBert", SIZE),
    "electra": ("Electra", SIZE | {"embedding_size": 16}),
    "mpnet": ("MPNet", SIZE),
    "albert": ("Albert", SIZE | {"embedding_size": 16}),
    "deberta-v2": ("DebertaV2", SIZE | DEBERTA),
    "modernbert": ("ModernBert", SIZE | MODERNBERT | {"classifier_pooling": "cls"}),
    "modernbert-mean": ("ModernBert", SIZE | MODERNBERT | {"classifier_pooling": "mean"}),
}


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory: pytest.TempPathFactory, sources: Callable[[str], Path]) -> Callable[[str], Any]:
    """Give the exported graph of a small random model."""

    def export(name: str) -> onnx.ModelProto:
        import torch
        import transformers

        family, options = MODELS[name]
        torch.manual_seed(1)
        config = getattr(transformers, f"{family}Config")(**options)
        model = getattr(transformers, f"{family}ForSequenceClassification")(config)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.05)
        folder = tmp_path_factory.mktemp("source") / name
        model.eval().save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(sources("bert")).save_pretrained(folder)
        with silence_libraries():
            return export_graph(ModelSource(folder, name), Scoring(), tmp_path_factory.mktemp("graph"))

    return export


def _logits(model: onnx.ModelProto, rows: int, length: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    ids = np.random.default_rng(rows).integers(5, 120, (rows, length))
    mask = np.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return session.run(None, {node.name: feed[node.name] for node in session.get_inputs()})[0]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "modernbert-mean"])
def test_logits_stay_and_products_shrink(name: str, graph_of: Callable[[str], onnx.ModelProto]) -> None:
    """At least three products run for one token: the attention's output and both of the feed-forward."""
    graph = graph_of(name)
    shortened = shorten_last_layer(graph)
    onnx.checker.check_model(shortened.model)
    assert shortened.matmuls >= 3
    for rows, length in ((1, 1), (1, 7), (5, 33)):
        before = _logits(graph, rows, length)
        np.testing.assert_allclose(_logits(shortened.model, rows, length), before, rtol=0, atol=1e-6)


def test_graph_with_other_pooling_is_unchanged(graph_of: Callable[[str], onnx.ModelProto]) -> None:
    """The result has the reason."""
    graph = graph_of("modernbert-mean")
    shortened = shorten_last_layer(graph)
    assert (shortened.matmuls, shortened.model) == (0, graph)
    assert "first token alone" in shortened.reason


def _head(*, hidden_is_output: bool) -> onnx.ModelProto:
    """Return a graph that selects the first token of x @ w."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"]),
        helper.make_node("Gather", ["hidden", "zero"], ["first"], axis=1),
    ]
    outputs = [helper.make_tensor_value_info("first", TensorProto.FLOAT, ["rows", 4])]
    if hidden_is_output:
        outputs.append(helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["rows", "tokens", 4]))
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [4, 4], np.arange(16.0)),
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "tokens", 4])]
    graph = helper.make_graph(nodes, "head", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_hidden_state_with_other_readers_is_unchanged() -> None:
    """Other tokens can be omitted only if nothing reads them."""
    assert shorten_last_layer(_head(hidden_is_output=False)).matmuls == 1
    assert shorten_last_layer(_head(hidden_is_output=True)).matmuls == 0
