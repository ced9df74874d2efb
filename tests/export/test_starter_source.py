"""The code of the bundled model, on a small model with random weights: its graph, and the passes over it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from golden.starter_source import CODE
from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export

SIZES = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_comparison_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "num_special_tokens": 5,
}
_HIDDEN = "self.layers[-1](both, bias, first=1)[:, 0]"
_GUARD = " * query[..., None] * matches"


@pytest.fixture
def write(sources: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Write a small model with the given code, and return its folder."""

    def write(code: str) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        folder = shutil.copytree(sources("bert"), tmp_path / "starter", ignore=shutil.ignore_patterns("*.safetensors"))
        (folder / CODE.name).write_text(code)
        name = "StarterForSequenceClassification"
        classes = {
            "AutoConfig": "modeling_starter.StarterConfig",
            "AutoModelForSequenceClassification": f"modeling_starter.{name}",
        }
        own = {"model_type": "starter-pair-scorer", "architectures": [name], "auto_map": classes, "pad_token_id": 0}
        (folder / "config.json").write_text(json.dumps(SIZES | own))
        torch.manual_seed(2)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=True)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.rand_like(weight) * 0.05)
        model.save_pretrained(folder)
        (folder / CODE.name).write_text(code)
        (folder / "config.json").write_text(json.dumps(SIZES | own))
        return folder

    return write


def _passes(source: Path, out: Path) -> dict[str, str]:
    bundle = export(ExportRequest(str(source), out, trust_remote_code=True)).bundle
    notes: dict[str, str] = bundle.manifest.recipe["passes"]
    return notes


def test_passes_work_on_its_graph(write: Callable[[str], Path], tmp_path: Path) -> None:
    """Its last layer computes one token already."""
    notes = _passes(write(CODE.read_text()), tmp_path / "out")
    assert notes["fold_sizes"].endswith("operators removed")
    assert notes["first_token_last_layer"] == "unchanged: the last layer is computed for one token already"


def test_last_layer_is_shortened_where_that_pays(write: Callable[[str], Path], tmp_path: Path) -> None:
    """The same model, whose last layer computes all tokens, and selects the first one afterwards."""
    code = CODE.read_text()
    assert _HIDDEN in code
    notes = _passes(write(code.replace(_HIDDEN, "self.layers[-1](both, bias)[:, 0]")), tmp_path / "out")
    assert notes["first_token_last_layer"] == "4 matrix products for one token"


def test_query_without_a_known_word_does_not_depend_on_padding(write: Callable[[str], Path], tmp_path: Path) -> None:
    """Without the factor, padding would take part in the weights of such a query. The gate finds that."""
    code = CODE.read_text()
    assert _GUARD in code
    with pytest.raises(ExportFailed, match="the model's own score depends on padding"):
        _passes(write(code.replace(_GUARD, " * matches")), tmp_path / "out")
