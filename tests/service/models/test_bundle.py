"""Opening a model folder: what is right is served, what is not is refused in one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, Manifest, Variant, open_bundle, write_manifest
from rerank_service.models.files import MANIFEST, REPORT
from support.small import write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of its own, to be spoiled."""
    return write_small_model(tmp_path / "small").folder


def _change(path: Path, **change: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def _manifest(folder: Path) -> Manifest:
    """The manifest that a folder has, unchecked."""
    return Manifest.model_validate_json((folder / MANIFEST).read_bytes())


def _weights(folder: Path, name: str) -> None:
    """A file that a graph could name, beside it."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"1")


def test_the_starter_is_whole(starter: Bundle) -> None:
    """Its digests hold, its export passed, and it is as small as it was to be."""
    assert starter.verdict == "passed"
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
        ({"max_tokens": 2**20 + 1}, "max_tokens"),
        ({"pad_id": 2**31}, "pad_id"),
        ({"pad_id": "\ud800"}, "pad_id"),
        ({"variants": []}, "variants"),
        ({"surprise": 1}, "surprise"),
        ({"files": {"../model.onnx": "0"}}, "outside the bundle"),
        ({"files": {}}, "gives no digest for model.onnx, tokenizer.json"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    """The error names the manifest and what is wrong in it."""
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
def test_the_digest_covers_what_scores_depend_on(folder: Path, change: dict[str, object]) -> None:
    """Equal digests, equal scores: a manifest that changes them has another one."""
    before = open_bundle(folder).digest
    _change(folder / MANIFEST, **change)
    assert open_bundle(folder).digest != before


@pytest.mark.parametrize(
    "change",
    [{"verdict": "passed"}, {"variants": [VARIANT | {"parity": 0.999, "speed": 1.5}]}],
    ids=["verdict", "measured"],
)
def test_the_digest_leaves_out_how_a_bundle_did_in_tests(folder: Path, change: dict[str, object]) -> None:
    """Nor does the report count: speed changes with each export, and scores do not."""
    (folder / REPORT).write_text('{"verdict": "passed"}')
    before = write_manifest(
        folder, _manifest(folder).model_copy(update={"variants": (Variant.model_validate(VARIANT),)})
    ).digest
    (folder / REPORT).write_text('{"verdict": "passed", "pairs_per_second": 7}')
    write_manifest(folder, _manifest(folder))
    _change(folder / MANIFEST, **change)
    assert open_bundle(folder).digest == before


@pytest.mark.parametrize("reported", ['{"verdict": "drift allowed"}', "{}", None])
def test_a_verdict_that_the_report_does_not_bear_out_is_refused(folder: Path, reported: str | None) -> None:
    """Neither can be changed alone: the report has a digest in the manifest."""
    (folder / REPORT).unlink(missing_ok=True)
    if reported is not None:
        (folder / REPORT).write_text(reported)
    write_manifest(folder, _manifest(folder).model_copy(update={"verdict": "passed"}))
    with pytest.raises(BundleInvalid, match=r"manifest\.json says that the export was 'passed', and report\.json says"):
        open_bundle(folder)


def test_a_bundle_without_a_verdict_is_not_verified(folder: Path) -> None:
    """As those of earlier versions, and folders of others."""
    (folder / REPORT).write_text('{"verdict": "pass"}')
    assert write_manifest(folder, _manifest(folder)).verdict == "not verified"
    assert open_bundle(folder).verdict == "not verified"


def test_a_calibration_leaves_what_logits_depend_on(folder: Path) -> None:
    """So what was derived from the graph and measured on it holds."""
    before = open_bundle(folder)
    _change(folder / MANIFEST, calibration=CALIBRATION)
    after = open_bundle(folder)
    assert after.logits_digest == before.logits_digest == before.digest


def test_a_digest_outlives_the_manifests_form(starter: Bundle) -> None:
    """A field that came later does not count where it is not set: else every cache would be void with each release."""
    assert starter.digest == "d2701ca4338dc36ad6b0c9f88d952ee09fa9d3c9a91e53762f3bde7003e4fb62"


def test_a_field_that_is_not_set_is_not_written(folder: Path) -> None:
    """Servers that do not know it take the bundle."""
    write_manifest(folder, open_bundle(folder).manifest)
    assert "calibration" not in json.loads((folder / MANIFEST).read_text())


def test_the_digest_is_that_of_the_model_whatever_it_is_called(folder: Path) -> None:
    """Names and where it came from are left out, and the order of keys in the manifest says nothing."""
    before = open_bundle(folder).digest
    _change(folder / MANIFEST, name="other", source="elsewhere", revision="1", recipe={"opset": 18})
    turned = dict(reversed(json.loads((folder / MANIFEST).read_text()).items()))
    (folder / MANIFEST).write_text(json.dumps(turned))
    assert open_bundle(folder).digest == before


@pytest.mark.parametrize("name", ["model.onnx.data", "onnx/model.onnx.data", "onnx/manifest.json", "a.md/vocab.txt"])
def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path, name: str) -> None:
    """Named: the graph might read it."""
    _weights(folder, name)
    with pytest.raises(BundleInvalid, match=rf"{name} is not in manifest\.json"):
        open_bundle(folder)
    write_manifest(folder, _manifest(folder))
    assert open_bundle(folder).manifest.files.keys() >= {name}


@pytest.mark.parametrize("name", ["README.md", ".gitattributes", ".cache/file", "__pycache__/file", "lost+found/file"])
def test_what_is_never_the_models_may_lie_beside_it(folder: Path, name: str) -> None:
    """Pages to read, hidden files, and what systems leave in folders."""
    _weights(folder, name)
    write_manifest(folder, _manifest(folder))
    assert name not in open_bundle(folder).manifest.files


def test_a_volume_of_kubernetes_is_served(folder: Path, tmp_path: Path) -> None:
    """Its files, and folders, are links into a hidden folder of the day."""
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


def test_a_link_to_a_folder_above_ends(folder: Path) -> None:
    """It adds no files, and is not followed for ever."""
    (folder / "again").symlink_to(".")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "again").symlink_to("..")
    assert open_bundle(folder)


def _unreadable(path: Path) -> None:
    """A regular file whose reading fails, for root too."""
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
def test_a_json_file_that_cannot_be_read_is_refused(
    folder: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    """In one line, and without waiting for one that nobody writes to; a plain folder's config likewise."""
    (folder / MANIFEST).unlink()
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(BundleInvalid, match=f"/{name} {words}") as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize(("make", "words"), [(os.mkfifo, "lacks {}"), (_unreadable, "cannot be read")])
def test_a_model_file_that_cannot_be_read_is_refused(
    folder: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    """Likewise."""
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(BundleInvalid, match=words.format(name)):
        open_bundle(folder)
