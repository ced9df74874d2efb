"""Open a model folder: valid bundles are served, others are rejected with a message of one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.files import MANIFEST, REPORT
from rerank_service.models.manifest import Manifest, Variant
from support.small import set_pair_format, write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return write_small_model(tmp_path / "small").folder


def _change(path: Path, **change: object) -> None:
    """Change fields of a manifest that has no digest of its own, as in version 0.1."""
    value = json.loads(path.read_text())
    del value["recipe"]["manifest_sha256"]
    path.write_text(json.dumps(value | change))


def _manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder without verifying the folder."""
    return Manifest.model_validate_json((folder / MANIFEST).read_bytes())


def _weights(folder: Path, name: str) -> None:
    """Write a file that a graph could read."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"1")


def test_a_graph_may_have_each_precision() -> None:
    """The manifest names precisions and providers as the engines do. Graphs of other tools may have fewer bits."""
    properties = Variant.model_json_schema()["properties"]
    precisions = {precision.value for precision in Precision} - {"auto"}
    found = set(properties["precision"]["enum"])
    assert found == set(properties["weights"]["enum"]) == precisions | {"int4", "int2"}
    assert set(properties["provider"]["anyOf"][0]["enum"]) <= {provider.value for provider in Provider}


def test_starter_model_is_verified(starter: Bundle) -> None:
    """Its digests match, its export passed, and it is smaller than 48 MB."""
    assert starter.verdict == "passed"
    assert (starter.manifest.name, starter.manifest.max_tokens) == ("starter", 512)
    assert sum(path.stat().st_size for path in starter.folder.iterdir()) < 55_000_000


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_altered_file_is_rejected(folder: Path, name: str) -> None:
    """The message names the file."""
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleInvalid, match=rf"{name}.*sha256"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_missing_file_is_rejected(folder: Path, name: str) -> None:
    """The message names the file."""
    (folder / name).unlink()
    with pytest.raises(BundleInvalid, match=name):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 2**20 + 1}, "max_tokens"),
        ({"pad_id": 2**31}, "pad_id"),
        ({"pad_id": "\ud800"}, "pad_id"),
        ({"variants": []}, "variants"),
        ({"unknown": 1}, "unknown"),
        ({"files": {"../model.onnx": "0"}}, "outside the bundle"),
        ({"files": {"/etc/passwd": "0"}}, "outside the bundle"),
        ({"files": {"a/../../model.onnx": "0"}}, "outside the bundle"),
        ({"files": {"model\0.onnx": "0"}}, "no digest for model.onnx"),
        (
            {"variants": [{"file": "../model.onnx", "precision": "fp32", "weights": "fp32"}]},
            "no digest for ../model.onnx",
        ),
        ({"name": "a\nb"}, "name: .*printable"),
        ({"name": "a\x1b[2Jb"}, "name: .*printable"),
        ({"name": "a" * 256}, "name: .*printable"),
        ({"files": {}}, "has no digest for model.onnx, tokenizer.json"),
    ],
)
def test_invalid_manifest_is_rejected(folder: Path, change: dict[str, object], words: str) -> None:
    """The message names the wrong field."""
    _change(folder / MANIFEST, **change)
    with pytest.raises(BundleInvalid, match=words):
        open_bundle(folder)


VARIANT = {"file": "model.onnx", "precision": "fp32", "weights": "fp16"}
CALIBRATION = {"meaning": "probability", "curve": {"method": "platt", "slope": 2.0, "intercept": -1.0}}


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "identity"},
        {"max_tokens": 16},
        {"pad_id": 7},
        {"variants": [VARIANT]},
        {"architecture": "Other"},
        {"calibration": CALIBRATION},
    ],
)
def test_digest_covers_everything_that_scores_depend_on(folder: Path, change: dict[str, object]) -> None:
    """Equal digests mean equal scores."""
    before = open_bundle(folder).digest
    _change(folder / MANIFEST, **change)
    assert open_bundle(folder).digest != before


@pytest.mark.parametrize(
    "change",
    [{"verdict": "passed"}, {"variants": [VARIANT | {"parity": 0.999, "speed": 1.5}]}],
    ids=["verdict", "measured"],
)
def test_digest_does_not_cover_test_results(folder: Path, change: dict[str, object]) -> None:
    """The report and the speed change with each export, the scores do not."""
    (folder / REPORT).write_text('{"verdict": "passed"}')
    before = write_manifest(
        folder, _manifest(folder).model_copy(update={"variants": (Variant.model_validate(VARIANT),)})
    ).digest
    (folder / REPORT).write_text('{"verdict": "passed", "pairs_per_second": 7}')
    write_manifest(folder, _manifest(folder))
    _change(folder / MANIFEST, **change)
    assert open_bundle(folder).digest == before


@pytest.mark.parametrize("reported", ['{"verdict": "drift allowed"}', "{}", None])
def test_verdict_that_differs_from_the_report_is_rejected(folder: Path, reported: str | None) -> None:
    """The manifest has a digest of the report, so editing only one of them is an error."""
    (folder / REPORT).unlink(missing_ok=True)
    if reported is not None:
        (folder / REPORT).write_text(reported)
    write_manifest(folder, _manifest(folder).model_copy(update={"verdict": "passed"}))
    with pytest.raises(BundleInvalid, match=r"manifest\.json has the verdict 'passed', but report\.json has"):
        open_bundle(folder)


def test_bundle_without_a_verdict_is_not_verified(folder: Path) -> None:
    """Bundles of earlier versions and hub folders have no verdict."""
    (folder / REPORT).write_text('{"verdict": "pass"}')
    assert write_manifest(folder, _manifest(folder)).verdict == "not verified"
    assert open_bundle(folder).verdict == "not verified"


def test_calibration_does_not_change_the_logits_digest(folder: Path) -> None:
    """Derived graphs and tunings stay valid."""
    before = open_bundle(folder)
    _change(folder / MANIFEST, calibration=CALIBRATION)
    after = open_bundle(folder)
    assert after.logits_digest == before.logits_digest == before.digest


def test_digest_is_stable_across_versions_of_the_manifest(starter: Bundle) -> None:
    """New fields that are not set do not count; otherwise each release would invalidate all caches."""
    assert starter.digest == "94a044b3284d0924ac0b3a055e918f77393d68222eba64c063d6c13ba4d0bf2a"


def test_unset_fields_are_not_written(folder: Path) -> None:
    """Servers that do not know the field can read the bundle."""
    write_manifest(folder, open_bundle(folder).manifest)
    assert "calibration" not in json.loads((folder / MANIFEST).read_text())


def test_digest_does_not_cover_names_and_origin(folder: Path) -> None:
    """The order of keys in the manifest does not matter either."""
    before = open_bundle(folder).digest
    _change(folder / MANIFEST, name="other", source="elsewhere", revision="1", recipe={"opset": 18})
    reversed_keys = dict(reversed(json.loads((folder / MANIFEST).read_text()).items()))
    (folder / MANIFEST).write_text(json.dumps(reversed_keys))
    assert open_bundle(folder).digest == before


@pytest.mark.parametrize("name", ["model.onnx.data", "onnx/model.onnx.data", "onnx/manifest.json", "a.md/vocab.txt"])
def test_unlisted_file_is_rejected(folder: Path, name: str) -> None:
    """The graph may read any file. The message names the file."""
    _weights(folder, name)
    with pytest.raises(BundleInvalid, match=rf"{name} is not in manifest\.json"):
        open_bundle(folder)
    write_manifest(folder, _manifest(folder))
    assert open_bundle(folder).manifest.files.keys() >= {name}


@pytest.mark.parametrize("name", ["README.md", ".gitattributes", ".cache/file", "__pycache__/file", "lost+found/file"])
def test_ignored_files_need_not_be_listed(folder: Path, name: str) -> None:
    """Markdown, hidden files, and files of the system."""
    _weights(folder, name)
    write_manifest(folder, _manifest(folder))
    assert name not in open_bundle(folder).manifest.files


@pytest.mark.parametrize("name", [".weights", "weights.md", ".cache/weights"])
def test_weights_in_an_ignored_file_are_rejected(folder: Path, name: str) -> None:
    """Other weights could be put there, and the digest would stay the same."""
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:  # only raw bytes can be external
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    (folder / name).parent.mkdir(exist_ok=True)
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location=name, size_threshold=64)
    write_manifest(folder, _manifest(folder))
    with pytest.raises(BundleInvalid, match=rf"has weights in {name}, which manifest\.json does not list"):
        open_bundle(folder)


def test_kubernetes_volume_is_served(folder: Path, tmp_path: Path) -> None:
    """Its files and folders are links into a hidden folder."""
    _weights(folder, "onnx/model.onnx.data")
    write_manifest(folder, _manifest(folder))
    volume = tmp_path / "volume"
    volume.mkdir()
    shutil.copytree(folder, volume / "..2026_01_01")
    (volume / "..data").symlink_to("..2026_01_01")
    for path in folder.iterdir():
        (volume / path.name).symlink_to(Path("..data") / path.name)
    assert open_bundle(volume).digest == open_bundle(folder).digest
    _weights(volume / "..data", "onnx/more")
    with pytest.raises(BundleInvalid, match="onnx/more is not in"):
        open_bundle(volume)


def test_cyclic_link_is_followed_once(folder: Path) -> None:
    """It adds no files."""
    (folder / "again").symlink_to(".")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "again").symlink_to("..")
    assert open_bundle(folder)


def _unreadable(path: Path) -> None:
    """Link to a regular file whose reads fail, for root as well."""
    path.symlink_to("/proc/self/mem")


def _large(path: Path) -> None:
    path.write_bytes(b" " * 8 * 1024 * 1024 + b"{}")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _latin(path: Path) -> None:
    path.write_bytes(b'{"name": "\xff"}')


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
        (_unreadable, "cannot be read"),
        (_large, "has more than 8,388,608 bytes"),
        (_dangling, "is missing"),
        (_deep, "is not JSON"),
        (_latin, "is not JSON"),
    ],
)
@pytest.mark.parametrize("name", [MANIFEST, "config.json"])
def test_unreadable_json_file_is_rejected(folder: Path, name: str, make: Callable[[Path], object], words: str) -> None:
    """The message is one line. A FIFO does not block. The config.json of a hub folder is checked as well."""
    (folder / MANIFEST).unlink()
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(BundleInvalid, match=f"/{name} {words}") as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize(("make", "words"), [(os.mkfifo, "lacks {}"), (_unreadable, "cannot be read")])
def test_unreadable_model_file_is_rejected(folder: Path, name: str, make: Callable[[Path], object], words: str) -> None:
    """A FIFO and a file whose reads fail."""
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(BundleInvalid, match=words.format(name)):
        open_bundle(folder)


def test_bundle_of_version_01_that_needs_a_template_is_rejected(folder: Path) -> None:
    """Its exporter did not check the prompt. A later one writes why a bundle has no template."""
    set_pair_format(folder, "[CLS] $A [CLS] $B:1")
    manifest = write_manifest(folder, _manifest(folder)).manifest
    with pytest.raises(BundleInvalid, match=r"has no template, and its tokenizer puts only \[CLS\] between query"):
        open_bundle(folder)
    recipe = manifest.recipe | {"template_origin": "--template none"}
    write_manifest(folder, manifest.model_copy(update={"recipe": recipe}))
    assert open_bundle(folder).manifest.template_origin == "--template none"


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["Phi3ForSequenceClassification"], "model_type": "phi3"},
        {"architectures": ["LlamaBidirectionalForSequenceClassification"], "model_type": "llama_bidirec"},
    ],
    ids=["phi3", "nemotron"],
)
def test_decoder_of_version_01_without_a_template_is_rejected(config: dict[str, Any], folder: Path) -> None:
    """Also if its tokenizer separates query and document: that is the format of its base model."""
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder, _manifest(folder).model_copy(update={"architecture": config["architectures"][0]}))
    with pytest.raises(
        BundleInvalid, match="export the model again with `rerank export`, whose option --template none keeps"
    ):
        open_bundle(folder)
