"""The simpler layers of ModernBERT give the logits of transformers."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_export.graph.graph_export import export_graph
from rerank_export.graph.modernbert_attention import simplify_modernbert
from rerank_export.graph.passes.pass_runner import apply_passes
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.scheduling.batching import Batch
from support.encoders import write_encoder

SMALL: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_labels": 1,
    "max_position_embeddings": 512,
    "local_attention": 16,
    "global_attn_every_n_layers": 3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "reference_compile": False,
}
FORMS: dict[str, dict[str, Any]] = {
    "mean": {"classifier_pooling": "mean"},
    "cls": {"classifier_pooling": "cls"},
    "biases": {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
    "odd-head": {"hidden_size": 40, "num_attention_heads": 4},
    "one-theta": {"local_rope_theta": None},
    "all-global": {"global_attn_every_n_layers": 1},
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_transformers(form: str) -> None:
    """At every length, on both sides of the local window."""
    import torch
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    torch.manual_seed(1)
    config = ModernBertConfig(**SMALL | FORMS[form])
    model = ModernBertForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    simpler = ModernBertForSequenceClassification(config).eval()
    simpler.load_state_dict(model.state_dict())
    simplify_modernbert(simpler)
    for tokens in (1, 2, 9, 40, 130):
        ids = torch.randint(3, 120, (3, tokens))
        mask = torch.ones_like(ids)
        mask[1, (tokens + 1) // 2 :] = 0
        with torch.inference_mode():
            expected, logits = (one(input_ids=ids, attention_mask=mask).logits for one in (model, simpler))
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_graph_splits_no_product_and_computes_angles_once_per_kind_of_layer(tmp_path: Path) -> None:
    """The graph keeps its logits, also beyond the length of the example that it was traced with."""
    source = ModelSource(write_encoder(tmp_path / "source", "modernbert"), "modernbert")
    with silence_libraries():
        graph = export_graph(source, Scoring(), tmp_path)
    ids = np.random.default_rng(1).integers(5, 300, (2, 90))
    graph, notes = apply_passes(graph, tmp_path / "passes", [Batch(ids, np.ones_like(ids), np.zeros_like(ids))])
    onnx.checker.check_model(graph)
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert "Split" not in kinds
    assert (kinds["Cos"], kinds["Sin"]) == (2, 2)  # local and global layers have different angles
    assert "for one token" in notes["first_token_last_layer"]
