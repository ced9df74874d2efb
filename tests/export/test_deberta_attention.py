"""The simpler attention of DeBERTa gives the logits of transformers, in a graph that OpenVINO can load."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_export.graph.deberta_attention import simplify_attention
from rerank_export.graph.graph_export import export_graph
from rerank_export.graph.passes.pass_runner import apply_passes
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.scheduling.batching import Batch
from support.encoders import write_encoder

SMALL: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 1,
    "relative_attention": True,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
V3: dict[str, Any] = {
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "max_position_embeddings": 64,
}
FORMS = {
    "v3": V3,
    "own-projections": V3 | {"share_att_key": False},
    "c2p-only": V3 | {"pos_att_type": ["c2p"]},
    "p2c-only": V3 | {"pos_att_type": ["p2c"]},
    "no-terms": V3 | {"pos_att_type": []},
    "no-buckets": V3 | {"position_buckets": -1},
    "no-norm": V3 | {"norm_rel_ebd": "none"},
    "absolute-too": V3 | {"position_biased_input": True, "max_position_embeddings": 300},
    "convolution": V3 | {"conv_kernel_size": 3, "conv_act": "gelu"},
    "no-relative-attention": {"relative_attention": False},
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_transformers(form: str) -> None:
    """At every length, also beyond the number of buckets, and beyond the positions where they allow it."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(1)
    config = DebertaV2Config(**SMALL | FORMS[form])
    model = DebertaV2ForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    simpler = DebertaV2ForSequenceClassification(config).eval()
    simpler.load_state_dict(model.state_dict())
    simplify_attention(simpler)
    for tokens in (1, 2, 9, 40, 64, 130):
        ids = torch.randint(1, 120, (3, tokens))
        mask = torch.ones_like(ids)
        mask[1, (tokens + 1) // 2 :] = 0
        with torch.inference_mode():
            expected, logits = (one(input_ids=ids, attention_mask=mask).logits for one in (model, simpler))
        assert expected.std() > 0 or tokens == 1
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_graph_has_no_branch_and_no_gathered_scores(tmp_path: Path) -> None:
    """An If, which optimum's graph has, keeps OpenVINO from loading it. The last layer is computed for one token."""
    source = ModelSource(write_encoder(tmp_path / "source", "deberta-v2"), "deberta")
    with silence_libraries():
        graph = export_graph(source, Scoring(), tmp_path)
    batches = [_batch(1, 1), _batch(3, 40), _batch(2, 300)]
    graph, notes = apply_passes(graph, tmp_path / "passes", batches)
    onnx.checker.check_model(graph)
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert not {"If", "GatherElements", "Tile"} & kinds.keys()
    assert notes["first_token_last_layer"] == "3 matrix products for one token"


def _batch(rows: int, tokens: int) -> Batch:
    ids = np.random.default_rng(rows).integers(5, 300, (rows, tokens))
    mask = np.ones_like(ids)
    mask[0, tokens // 2 + 1 :] = 0
    return Batch(ids, mask, np.zeros_like(ids))
