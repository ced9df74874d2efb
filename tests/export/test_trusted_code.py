"""Code in a model's repository runs only with --trust-remote-code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.ranking.request import TooLong
from support.commands import rerank
from support.running import running

CODE = """
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification

(Path.cwd() / "ran").touch()

class OwnConfig(BertConfig):
    model_type = "own"

class OwnForSequenceClassification(BertForSequenceClassification):
    config_class = OwnConfig
"""


@pytest.fixture
def own(sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a BERT with its own class, which neither transformers nor optimum knows. Its code writes a file
    into the working directory, so that is a temporary one."""
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(sources("bert"), tmp_path / "own")
    (folder / "own.py").write_text(CODE)
    name = "OwnForSequenceClassification"
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "own",
        "architectures": [name],
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": f"own.{name}"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_code_is_not_run_by_default(own: Path, tmp_path: Path) -> None:
    """The message names the option."""
    with pytest.raises(ExportFailed, match=r"contains its own code .* --trust-remote-code"):
        export(ExportRequest(str(own), tmp_path / "out"))
    assert not (tmp_path / "ran").exists()


async def _logits(bundle: Bundle) -> list[float]:
    async with running(bundle) as core:
        ranking = await core.rank(
            "which planets line up", "a launch window to mars", "", "over the lazy dog " * 300, too_long=TooLong.CUT
        )
    return [document.logit for document in sorted(ranking, key=lambda document: document.index)]


async def test_trusted_model_is_exported(own: Path, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """torch exports it, and it scores like the model that its code extends."""
    done = rerank("export", str(own), "--trust-remote-code", "--out", "out", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 0, done.stderr
    assert await _logits(open_bundle(tmp_path / "out")) == pytest.approx(await _logits(bundles("bert")), abs=1e-5)


def test_model_with_weights_only_for_its_own_code_is_refused(own: Path, tmp_path: Path) -> None:
    """The class of transformers would ignore these weights and score differently."""
    from safetensors.torch import load_file, save_file

    config = json.loads((own / "config.json").read_text()) | {"model_type": "bert"}
    (own / "config.json").write_text(json.dumps(config))
    weights = load_file(own / "model.safetensors")
    weights["own.weight"] = weights["classifier.weight"].clone()
    save_file(weights, own / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportFailed, match=r"contains its own code .* --trust-remote-code"):
        export(ExportRequest(str(own), tmp_path / "out"))


@pytest.mark.parametrize(
    ("function", "named"),
    [("torch.sigmoid(output.logits)", "sigmoid"), ("torch.log_softmax(output.logits, -1)", "log_softmax")],
)
def test_model_that_returns_probabilities_is_refused(function: str, named: str, own: Path, tmp_path: Path) -> None:
    """The server would apply a second activation to its scores. The graph returns what the model returns, so the
    comparison of both finds nothing."""
    forward = f"""
    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **options):
        import torch
        output = super().forward(input_ids, attention_mask, token_type_ids, **options)
        output.logits = {function}
        return output
"""
    (own / "own.py").write_text(CODE + forward)
    with pytest.raises(ExportFailed, match=f"own returns no logits: its code ends with the activation {named}, "):
        export(ExportRequest(str(own), tmp_path / "out", trust_remote_code=True))
