"""The whole export: a model in the Hugging Face format becomes a bundle that the server scores with."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.ranking.request import TooLong
from support.architectures import ENCODERS
from support.running import running

QUERY = "which planets line up for a launch"
DOCUMENTS = [
    "a launch window to mars",
    "",
    "fiebre 🚀 und Kopfweh",
    "ok",
    "over the lazy dog " * 300,
    "[SEP] </s> <pad>",
]
FILES = ["config.json", "golden.json", "model.onnx", "model.onnx.data", "report.json", "tokenizer.json"]


def transformers_logits(folder: Path) -> list[float]:
    """Compute the logits of the pairs with transformers, in one padded batch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    queries = [QUERY] * len(DOCUMENTS)
    batch = tokenizer(queries, DOCUMENTS, padding=True, truncation="only_second", max_length=512, return_tensors="pt")
    with torch.inference_mode():
        logits: list[float] = model(**batch).logits[:, 0].tolist()
    return logits


@pytest.mark.parametrize("family", ENCODERS)
async def test_served_logits_equal_those_of_transformers(
    family: str, sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """Open, load and serve the bundle of each architecture."""
    expected = transformers_logits(sources(family))
    async with running(open_bundle(bundles(family).folder)) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    assert [logits[index] for index in range(len(DOCUMENTS))] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01, "all logits are alike, so a wrong graph would not be noticed"


@pytest.mark.parametrize("family", ENCODERS)
def test_window_and_pad_id_come_from_the_model(family: str, bundles: Callable[[str], Bundle]) -> None:
    """Each window has 512 tokens: the 514 positions of RoBERTa start after its pad id, which is 1."""
    manifest = bundles(family).manifest
    assert (manifest.max_tokens, manifest.pad_id) == (512, ENCODERS[family].pad_id)


def test_missing_config_fields_have_the_defaults_of_transformers(
    sources: Callable[[str], Path], tmp_path: Path
) -> None:
    """A RoBERTa without pad_token_id has pad id 1, and so a window of 512 tokens."""
    source = shutil.copytree(sources("roberta"), tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    assert config.pop("pad_token_id") == 1
    (source / "config.json").write_text(json.dumps(config))
    manifest = export(ExportRequest(str(source), tmp_path / "out")).bundle.manifest
    assert (manifest.max_tokens, manifest.pad_id) == (512, 1)


def test_manifest_names_the_origin_of_a_bundle(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """It has the model's name, source and architecture. No file contains a path of this machine."""
    bundle = bundles("bert")
    manifest = bundle.manifest
    assert (manifest.name, manifest.source, manifest.revision) == ("bert", "bert", "")
    assert manifest.architecture == "BertForSequenceClassification"
    assert manifest.recipe["versions"].keys() >= {"torch", "transformers", "optimum-onnx", "onnx"}
    for path in bundle.folder.iterdir():
        assert str(sources("bert").parent).encode() not in path.read_bytes()


def test_tokenizer_and_config_are_published_unchanged(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """Both files equal those of the source byte for byte."""
    for name in ("tokenizer.json", "config.json"):
        assert (bundles("bert").folder / name).read_bytes() == (sources("bert") / name).read_bytes()


def test_bundle_is_readable_by_all_users(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The server may run as another user, and the exporter with any umask."""
    umask = os.umask(0o077)
    try:
        folder = export(ExportRequest(str(sources("bert")), tmp_path / "out")).bundle.folder
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_manifest_has_a_digest_of_every_file(bundles: Callable[[str], Bundle]) -> None:
    """The list in the manifest equals the files in the folder."""
    bundle = bundles("bert")
    assert sorted(bundle.manifest.files) == FILES
    assert sorted(path.name for path in bundle.folder.iterdir()) == sorted([*FILES, "manifest.json"])


@pytest.mark.parametrize("name", FILES)
def test_bundle_with_a_changed_file_is_rejected(name: str, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """One more byte in any file is enough. The message names the file."""
    folder = shutil.copytree(bundles("bert").folder, tmp_path / "bundle")
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleInvalid, match=f"/{name} "):
        open_bundle(folder)


def test_second_export_has_the_same_digests(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """The same model and versions make the same bundle, so a digest identifies the served model."""
    again = export(ExportRequest(f"{sources('bert')}/", tmp_path / "again", name="bert")).bundle
    assert again.digest == bundles("bert").digest
    files = [dict(bundle.manifest.files) for bundle in (again, bundles("bert"))]
    for digests in files:
        del digests["report.json"]  # it contains the measured speed
    assert files[0] == files[1]


def test_existing_bundle_is_replaced(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The folder then holds only the new bundle, without leftovers in the old one; also if it is given as a link."""
    out = tmp_path / "out"
    export(ExportRequest(str(sources("bert")), out))
    (out / ".manifest.json.7").touch()
    link = tmp_path / "link"
    link.symlink_to("out")
    export(ExportRequest(str(sources("distilbert")), link))
    assert open_bundle(out).manifest.source == "distilbert"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    assert link.is_symlink()
    assert not (out / ".manifest.json.7").exists()


def test_pickled_weights_are_exported(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """Older models have no safetensors."""
    import torch
    from safetensors.torch import load_file

    source = shutil.copytree(sources("bert"), tmp_path / "bert")
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    assert export(ExportRequest(str(source), tmp_path / "out")).verified.edges.holds
