"""Verification: a graph outside its tolerance ends the export, or is marked if drift is allowed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from rerank_export.bundle import bundle_builder
from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.gate import tolerance
from rerank_export.gate.edge_pairs import EdgeComparison, edge_pairs
from rerank_export.gate.gate_options import GateOptions
from rerank_export.gate.tolerance import Tolerance
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.ranking_change import RankingBounds
from support.encoders import set_positions

Refuse = Callable[..., str]
NEVER = Tolerance(difference=None, ranking=RankingBounds(mean_loss=-1.0), invariance=1.0)


def _perturbed(source: ModelSource, scoring: Scoring, folder: Path) -> onnx.ModelProto:
    """Export a graph with one weight changed by 0.01."""
    from rerank_export.graph.graph_export import export_graph

    model = export_graph(source, scoring, folder)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("classifier.bias"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 0.01, weight.name))
    return model


def test_graph_with_a_wrong_weight_is_not_written(
    source: Path, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the attempt is left."""
    monkeypatch.setattr(bundle_builder, "export_graph", _perturbed)
    line = refuse(source)
    assert "model: the exported graph scores differently from the model: logits differ by up to 1.0e-02" in line
    assert list(tmp_path.iterdir()) == []


def test_failed_export_leaves_the_old_bundle(
    source: Path, bundles: Callable[[str], Bundle], refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old bundle can still be served."""
    old = shutil.copytree(bundles("bert").folder, tmp_path / "out")
    monkeypatch.setattr(bundle_builder, "export_graph", _perturbed)
    refuse(source)
    assert open_bundle(old).manifest == bundles("bert").manifest
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("max_tokens", [130, 2048, 4096])
def test_an_edge_pair_fills_the_token_limit(max_tokens: int, source: Path) -> None:
    """It is one pair at most that is longer than 200 sentences: its attention needs much memory."""
    tokenizer = PairTokenizer(source / "tokenizer.json", max_tokens=max_tokens)
    lengths = [
        len(pair)
        for query, document in edge_pairs(max_tokens)
        for pair in tokenizer.encode_documents(tokenizer.encode_query(query), [document])
    ]
    assert max(lengths) == max_tokens
    assert sum(length > 2100 for length in lengths) == (max_tokens > 2100)


def test_edge_pairs_of_a_longer_model_fit_in_memory() -> None:
    """The longest document has 4,500 words."""
    assert max(len(document.split()) for _, document in edge_pairs(131_072)) == 4500


_CHANGES_ABOVE = 3000
CODE = f"""
from transformers import BertForSequenceClassification

class OwnForSequenceClassification(BertForSequenceClassification):
    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **options):
        output = super().forward(input_ids, attention_mask, token_type_ids, **options)
        output.logits = output.logits + float(input_ids.shape[1] > {_CHANGES_ABOVE})
        return output
"""


def test_model_that_computes_long_pairs_in_another_way_is_refused(source: Path, refuse: Refuse) -> None:
    """A traced graph computes all pairs in the way of the short ones."""
    set_positions(source, 4096)
    (source / "own.py").write_text(CODE)
    config = json.loads((source / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "own.OwnForSequenceClassification"}
    (source / "config.json").write_text(json.dumps(config))
    line = refuse(source, "out", "--trust-remote-code")
    assert line.startswith("model: the exported graph scores differently from the model: logits differ by up to ")


def test_model_with_an_odd_number_of_positions_is_exported(source: Path, tmp_path: Path) -> None:
    """No batch is padded beyond the last position."""
    export(ExportRequest(str(set_positions(source, 131)), tmp_path / "out"))
    assert open_bundle(tmp_path / "out").manifest.max_tokens == 131


def _edges(score: float, batch: float) -> EdgeComparison:
    return EdgeComparison(pairs=1, tolerance=1e-4, max_difference=score, max_batch_difference=batch, worst_pair=0)


@pytest.mark.parametrize("edges", [_edges(float("nan"), 0), _edges(0, float("nan")), _edges(0, 2e-4)], ids=str)
def test_edge_comparison_fails_if_either_difference_is_large_or_nan(edges: EdgeComparison) -> None:
    """Both differences have the same tolerance."""
    assert not edges.holds
    assert _edges(1e-5, 1e-5).holds


def test_graph_with_other_ranks_is_not_written(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the graph, the products that were left out, and the worst pair."""
    monkeypatch.setattr(tolerance, "INT8", NEVER)
    with pytest.raises(ExportFailed) as refused:
        export(ExportRequest(str(sources("bert")), tmp_path / "out", precisions="fp32,int8"))
    message = str(refused.value)
    assert message.startswith("bert: model.int8.onnx scores differently from the model, even with ")
    assert ": mean relevance loss 0." in message
    assert "worst pair: “" in message
    assert message.endswith("No bundle was written (--allow-drift keeps it)")
    assert list(tmp_path.iterdir()) == []


def test_allowed_drift_is_marked(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest, the report and the server show it. All products are in int8 then, and there are no golden pairs."""
    monkeypatch.setattr(tolerance, "INT8", NEVER)
    allowed = GateOptions(queries=1, allow_drift=True)
    done = export(ExportRequest(str(sources("bert")), tmp_path / "out", precisions="fp32,int8", gate=allowed))
    assert open_bundle(tmp_path / "out").verdict == "drift allowed"
    assert done.verified.report["verdict"] == "drift allowed"
    assert not (tmp_path / "out" / "golden.json").exists()
    _, int8 = done.verified.report["variants"]
    assert (int8["verdict"], int8["products_left_out"]) == ("drift", [])
    assert (
        load_selected(ModelOptions(folder=tmp_path / "out", cache=tmp_path / "cache")).info.verdict == "drift allowed"
    )
