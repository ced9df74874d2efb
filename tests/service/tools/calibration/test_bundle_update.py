"""A calibration signs only the files that were verified."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rerank_service.errors import BundleInvalid, CalibrationFailed
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.files import MANIFEST, TOKENIZER
from rerank_service.models.manifest_file import write_manifest_file
from rerank_service.ranking.scores import Activation
from rerank_service.tools.calibration.bundle_update import check_folder_writable, update_copy, update_in_place
from rerank_service.tools.calibration.calibrate import CalibrationResult, calibrate
from rerank_service.tools.calibration.labels_file import LabelledQuery


@pytest.fixture
def folder(small_model: Bundle, tmp_path: Path) -> Path:
    """Copy the bundle of the small model."""
    return Path(shutil.copytree(small_model.folder, tmp_path / "small"))


@pytest.fixture(scope="module")
def result() -> CalibrationResult:
    """Fit a curve to some labels."""
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 3, 20).astype(np.float32) for _ in range(20)]
    labelled = [
        LabelledQuery(str(at), ("d",) * 20, tuple((values > rng.normal(0, 1, 20)).astype(int).tolist()), ("f:1",) * 20)
        for at, values in enumerate(logits)
    ]
    return calibrate(labelled, logits, graded=False, activation=Activation.SIGMOID)


def _in_place(bundle: Bundle, result: CalibrationResult) -> Bundle:
    return update_in_place(bundle, result, "0" * 64)


def _copy(bundle: Bundle, result: CalibrationResult) -> Bundle:
    return update_copy(bundle, result, "0" * 64, bundle.folder.parent / "out")


@pytest.mark.parametrize("update", [_in_place, _copy])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_file_that_changed_after_it_was_verified_is_not_signed(
    folder: Path, result: CalibrationResult, update: Callable[..., Bundle], *, has_manifest: bool
) -> None:
    """No manifest is written, neither to the bundle nor to a copy. A hub folder has no manifest before."""
    if not has_manifest:
        (folder / MANIFEST).unlink()
    bundle = open_bundle(folder)
    before = (folder / MANIFEST).read_bytes() if has_manifest else None
    (folder / TOKENIZER).write_bytes((folder / TOKENIZER).read_bytes() + b"\n")
    with pytest.raises(BundleInvalid, match=r"tokenizer\.json was changed during the calibration: calibrate again"):
        update(bundle, result)
    assert ((folder / MANIFEST).read_bytes() if has_manifest else None) == before
    assert has_manifest or not (folder / MANIFEST).exists()
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_file_that_changes_as_the_manifest_is_written_keeps_its_verified_digest(
    folder: Path, result: CalibrationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next load rejects it."""
    bundle = open_bundle(folder)
    monkeypatch.setattr(Bundle, "check_unchanged", lambda self, _: (self.folder / TOKENIZER).write_bytes(b"{}"))
    _in_place(bundle, result)
    with pytest.raises(BundleInvalid, match=r"tokenizer\.json was altered"):
        open_bundle(folder)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_manifest_of_another_writer_is_not_overwritten(
    folder: Path, result: CalibrationResult, *, has_manifest: bool
) -> None:
    """Such as that of another calibration of the same bundle, which was faster."""
    signed = open_bundle(folder).manifest
    if not has_manifest:
        (folder / MANIFEST).unlink()
    bundle = open_bundle(folder)
    write_manifest_file(folder, signed.model_copy(update={"max_tokens": 16}))
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(BundleInvalid, match=r"manifest\.json was changed during the calibration: calibrate again"):
        _in_place(bundle, result)
    assert (folder / MANIFEST).read_bytes() == before


def test_check_of_a_folder_leaves_nothing(folder: Path) -> None:
    """The bundle can still be opened, and a folder that takes no files is an error."""
    before = sorted(folder.rglob("*"))
    check_folder_writable(folder)
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(CalibrationFailed, match=r"cannot write into /proc: .*; make it writable, or .* --out"):
        check_folder_writable(Path("/proc"))
