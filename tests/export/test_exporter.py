"""From a model in Hugging Face format to a bundle that is served, through optimum and back."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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
FILES = ["config.json", "model.onnx", "model.onnx.data", "report.json", "tokenizer.json"]


def transformers_logits(folder: Path) -> list[float]:
    """What transformers itself makes of the pairs, in one padded batch."""
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
async def test_a_family_is_served_with_the_logits_of_transformers(
    family: str, sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """The bundle opens, is loaded, and ranks with the logits of the model that it was made of."""
    expected = transformers_logits(sources(family))
    async with running(open_bundle(bundles(family).folder)) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    assert [logits[index] for index in range(len(DOCUMENTS))] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01, "all logits are alike: the model is too small to tell"


@pytest.mark.parametrize("family", ENCODERS)
def test_window_and_pad_id_are_those_of_the_model(family: str, bundles: Callable[[str], Bundle]) -> None:
    """512 tokens for each: RoBERTa's 514 positions begin after its pad id, which is 1."""
    manifest = bundles(family).manifest
    assert (manifest.max_tokens, manifest.pad_id) == (512, ENCODERS[family].pad_id)


def test_what_a_config_leaves_out_is_what_transformers_takes_for_granted(
    sources: Callable[[str], Path], tmp_path: Path
) -> None:
    """A RoBERTa whose config does not name its pad id has 1, and so a window of 512."""
    source = shutil.copytree(sources("roberta"), tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    assert config.pop("pad_token_id") == 1
    (source / "config.json").write_text(json.dumps(config))
    manifest = export(str(source), tmp_path / "out").bundle.manifest
    assert (manifest.max_tokens, manifest.pad_id) == (512, 1)


def test_the_manifest_tells_where_a_bundle_comes_from(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """Name, source and architecture are the model's; no path of this machine is in the bundle."""
    bundle = bundles("bert")
    manifest = bundle.manifest
    assert (manifest.name, manifest.source, manifest.revision) == ("bert", "bert", "")
    assert manifest.architecture == "BertForSequenceClassification"
    assert manifest.recipe["versions"].keys() >= {"torch", "transformers", "optimum-onnx", "onnx"}
    for path in bundle.folder.iterdir():
        assert str(sources("bert").parent).encode() not in path.read_bytes()


def test_tokenizer_and_config_are_as_published(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle]
) -> None:
    """Both are the source's own, byte for byte."""
    for name in ("tokenizer.json", "config.json"):
        assert (bundles("bert").folder / name).read_bytes() == (sources("bert") / name).read_bytes()


def test_everybody_may_read_a_bundle(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """A server that runs as somebody else can open what an exporter wrote, whatever its umask."""
    umask = os.umask(0o077)
    try:
        folder = export(str(sources("bert")), tmp_path / "out").bundle.folder
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_the_manifest_has_a_digest_of_every_file(bundles: Callable[[str], Bundle]) -> None:
    """All files of the bundle are listed, and there are no others."""
    bundle = bundles("bert")
    assert sorted(bundle.manifest.files) == FILES
    assert sorted(path.name for path in bundle.folder.iterdir()) == sorted([*FILES, "manifest.json"])


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_found_out(name: str, bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """One byte more, in whichever file, and the bundle does not open; the message names the file."""
    folder = shutil.copytree(bundles("bert").folder, tmp_path / "bundle")
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleInvalid, match=f"/{name} "):
        open_bundle(folder)


def test_a_second_export_gives_the_same_digests(
    sources: Callable[[str], Path], bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """The same model and versions make the same bundle, so that a digest says which model is served."""
    again = export(f"{sources('bert')}/", tmp_path / "again", name="bert").bundle
    assert again.digest == bundles("bert").digest
    files = [dict(one.manifest.files) for one in (again, bundles("bert"))]
    for of_one in files:
        del of_one["report.json"]  # which tells how fast it was
    assert files[0] == files[1]


def test_a_bundle_that_is_there_is_replaced(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The folder then holds the new bundle alone, also when it was given as a link."""
    out = tmp_path / "out"
    export(str(sources("bert")), out)
    (out / "left over").touch()
    link = tmp_path / "link"
    link.symlink_to("out")
    export(str(sources("distilbert")), link)
    assert open_bundle(out).manifest.source == "distilbert"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    assert link.is_symlink()
    assert not (out / "left over").exists()


def test_pickled_weights_are_exported(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """As models from before safetensors have them."""
    import torch
    from safetensors.torch import load_file

    source = shutil.copytree(sources("bert"), tmp_path / "bert")
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    assert export(str(source), tmp_path / "out").verified.edges.holds
