"""A pass counts only if the logits stay."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.graph.passes import pass_runner
from rerank_export.graph.passes.node_lists import needed_nodes, topologically_sorted
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.models.bundle import Bundle
from support.decoders import write_decoder


def _wrong(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    bias = next(tensor for tensor in changed.graph.initializer if tensor.name.endswith("classifier.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    return changed, "bias changed"


def _broken(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[3]
    return changed, "node removed"


def _failing(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    raise RuntimeError("cannot")


def test_pass_that_changes_logits_is_reverted(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a pass that fails, or whose graph does not run. Other passes count, and each has a note."""
    first = pass_runner.PASSES["first_token_last_layer"]
    monkeypatch.setattr(
        pass_runner, "PASSES", {"wrong": _wrong, "first": first, "broken": _broken, "failing": _failing, "off": _wrong}
    )
    done = export(ExportRequest(str(sources("bert")), tmp_path / "out")).bundle
    notes = done.manifest.recipe["passes"]
    assert notes["wrong"].startswith("unchanged: the logits would differ by ")
    assert notes["broken"] == "unchanged: the logits would differ by nan"
    assert notes["failing"] == "unchanged: cannot"
    assert notes["first"].endswith("matrix products for one token")


def test_every_pass_can_be_disabled(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The graph is then that of optimum."""
    without = frozenset(pass_runner.PASSES)
    manifest = export(ExportRequest(str(sources("bert")), tmp_path / "out", without_passes=without)).bundle.manifest
    assert manifest.recipe["passes"] == dict.fromkeys(pass_runner.PASSES, "disabled")


def test_passes_need_no_weights(bundles: Callable[[str], Bundle]) -> None:
    """Large weights, norms and biases among them, are in a file while the passes run."""
    notes = bundles("bert-wide").manifest.recipe["passes"]
    assert notes["first_token_last_layer"].endswith("matrix products for one token")
    assert notes["fold_sizes"].endswith("operators removed")


def test_wide_decoder_is_shortened(tmp_path: Path) -> None:
    """Its large weights are in a file, too."""
    folder = write_decoder(tmp_path / "wide", "Qwen3", head="SequenceClassification", hidden_size=320)
    request = ExportRequest(str(folder), tmp_path / "out", scoring=ScoringOptions(template="none"))
    notes = export(request).bundle.manifest.recipe["passes"]
    assert notes["last_token_last_layer"] == "5 matrix products for one token"


def test_needed_nodes_are_sorted() -> None:
    """Each node comes after its inputs, and only needed nodes are kept."""
    nodes = [helper.make_node("Add", [a, b], [c]) for a, b, c in ("bcd", "aab", "abc", "aax")]
    assert [node.output[0] for node in topologically_sorted(needed_nodes(nodes, {"d"}))] == ["b", "c", "d"]
