"""Passes are believed only when the logits stay."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from rerank_export import passes
from rerank_export.exporter import export
from rerank_export.passes.nodes import needed, ordered
from rerank_export.scoring import Wishes
from rerank_service.models.bundle import Bundle
from support.decoders import write_decoder


def _wrong(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    bias = next(tensor for tensor in changed.graph.initializer if tensor.name.endswith("classifier.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    return changed, "bias moved"


def _broken(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[3]
    return changed, "a node less"


def _failing(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    raise RuntimeError("cannot")


def test_a_pass_that_changes_logits_is_taken_back(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is one whose graph does not run, or that fails; the right ones before and after it hold, and all are told."""
    first = passes.PASSES["first_token_last_layer"]
    monkeypatch.setattr(
        passes, "PASSES", {"wrong": _wrong, "first": first, "broken": _broken, "failing": _failing, "off": _wrong}
    )
    done = export(str(sources("bert")), tmp_path / "out", wishes=Wishes(without_passes=frozenset())).bundle
    told = done.manifest.recipe["passes"]
    assert told["wrong"].startswith("left as it was: other logits, by ")
    assert told["broken"] == "left as it was: other logits, by nan"
    assert told["failing"] == "left as it was: cannot"
    assert told["first"].endswith("matrix products for one token")


def test_every_pass_can_be_switched_off(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The graph is then the exporter's own."""
    wishes = Wishes(without_passes=frozenset(passes.PASSES))
    manifest = export(str(sources("bert")), tmp_path / "out", wishes=wishes).bundle.manifest
    assert manifest.recipe["passes"] == dict.fromkeys(passes.PASSES, "switched off")


def test_passes_need_no_weights(bundles: Callable[[str], Bundle]) -> None:
    """Those of a model of some size lie in a file while passes run, norms and biases among them."""
    told = bundles("bert-wide").manifest.recipe["passes"]
    assert told["first_token_last_layer"].endswith("matrix products for one token")
    assert told["fold_sizes"].endswith("operators less")


def test_a_wide_decoder_is_shortened_too(tmp_path: Path) -> None:
    """Likewise."""
    folder = write_decoder(tmp_path / "wide", "Qwen3", head="SequenceClassification", hidden_size=320)
    told = export(str(folder), tmp_path / "out").bundle.manifest.recipe["passes"]
    assert told["last_token_last_layer"] == "5 matrix products for one token"


def test_nodes_are_put_in_order() -> None:
    """Each behind what it reads, and only those that are needed."""
    nodes = [helper.make_node("Add", [a, b], [c]) for a, b, c in ("bcd", "aab", "abc", "aax")]
    assert [node.output[0] for node in ordered(needed(nodes, {"d"}))] == ["b", "c", "d"]
