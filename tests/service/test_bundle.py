"""Opening a model folder: what is right is served, what is not is refused in one line."""

import json
import shutil
from pathlib import Path

import pytest

from rerank_service.bundle import MANIFEST, Bundle, open_bundle, window
from rerank_service.errors import BundleInvalid
from support.small import write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of its own, to be spoiled."""
    return write_small_model(tmp_path / "small").folder


def test_the_starter_is_whole(starter: Bundle) -> None:
    """Its digests hold, its report says pass, and it is as small as it was to be."""
    assert json.loads((starter.folder / "report.json").read_text())["verdict"] == "pass"
    assert (starter.manifest.name, starter.manifest.max_tokens) == ("starter", 512)
    assert sum(path.stat().st_size for path in starter.folder.iterdir()) < 48_000_000


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_an_altered_file_is_refused(folder: Path, name: str) -> None:
    """Named, with what to do."""
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleInvalid, match=rf"{name}.*sha256"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    """Named."""
    (folder / name).unlink()
    with pytest.raises(BundleInvalid, match=name):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"variants": []}, "variants"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"../model.onnx": "0"}}, "outside the bundle"),
        ({"files": {}}, "gives no digest for model.onnx, tokenizer.json"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    """The error names the manifest and what is wrong in it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(BundleInvalid, match=words):
        open_bundle(folder)


def test_a_plain_folder_is_served(folder: Path) -> None:
    """Both layouts of the hub, with the window taken from the config."""
    (folder / MANIFEST).unlink()
    (folder / "config.json").write_text('{"num_labels": 1, "max_position_embeddings": 77, "pad_token_id": 3}')
    plain = open_bundle(folder)
    assert (plain.manifest.name, plain.manifest.max_tokens, plain.manifest.pad_id) == ("small", 77, 3)
    assert plain.digest == ""
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    assert open_bundle(folder).graph == folder / "onnx" / "model.onnx"


def test_a_folder_that_is_no_model_says_what_to_do(tmp_path: Path) -> None:
    """Not there, empty, without a tokenizer, with two labels, with a config that is no JSON."""
    with pytest.raises(BundleInvalid, match="is not a folder"):
        open_bundle(tmp_path / "absent")
    with pytest.raises(BundleInvalid, match="rerank export"):
        open_bundle(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BundleInvalid, match=r"config\.json is missing"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleInvalid, match=r"config\.json is not JSON"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}}')
    with pytest.raises(BundleInvalid, match="2 labels"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a"}}')
    with pytest.raises(BundleInvalid, match=r"no tokenizer\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    ("config", "tokenizer_config", "tokens"),
    [
        ({"max_position_embeddings": 512}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, 256),
        ({"max_position_embeddings": 512}, {"model_max_length": 10**30}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}, {}, 512),
        ({}, {}, 512),
    ],
)
def test_the_window_is_what_the_model_has(
    config: dict[str, object], tokenizer_config: dict[str, object], tokens: int
) -> None:
    """The smaller of positions and the tokenizer's word, less the positions that RoBERTa never uses."""
    assert window(config, tokenizer_config) == tokens
