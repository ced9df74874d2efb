"""Add a calibration to a bundle. Only the manifest changes, so that one rename publishes the whole change."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rerank_service.errors import BundleInvalid, CalibrationFailed
from rerank_service.models.bundle import Bundle, file_digests, is_ignored, open_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.manifest import Manifest
from rerank_service.models.manifest_file import read_manifest, write_manifest_file
from rerank_service.tools.calibration.calibrate import CalibrationResult

_CHANGE = "during the calibration: calibrate again"


def update_in_place(bundle: Bundle, result: CalibrationResult, labels_sha256: str) -> Bundle:
    """Write the calibration to the bundle itself. `labels_sha256` is that of the file that it was fitted to.

    Raises:
        BundleInvalid: a file of the bundle was changed after it was opened. Nothing is written.
    """
    manifest = _manifest(bundle, result, labels_sha256)
    bundle.check_unchanged(_CHANGE)
    _check_manifest_unchanged(bundle)
    return Bundle(bundle.folder, write_manifest_file(bundle.folder, manifest))


def update_copy(bundle: Bundle, result: CalibrationResult, labels_sha256: str, out: Path) -> Bundle:
    """Write a copy of the bundle with the calibration. `out` appears only when the copy is complete.

    Raises:
        BundleInvalid: a file of the bundle was changed after it was opened.
        CalibrationFailed: `out` exists and is not an empty folder.
    """
    check_output_folder(out)
    target = Path(os.path.realpath(out))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        copy = Path(work) / "bundle"
        shutil.copytree(bundle.folder, copy, ignore=_ignored)
        copy.chmod(0o755)  # the bundle may be read-only, as in an image
        manifest = _manifest(bundle, result, labels_sha256)
        bundle.check_unchanged(_CHANGE)
        write_manifest_file(copy, manifest)
        open_bundle(copy)
        copy.replace(target)
    return open_bundle(out)


def check_output_folder(out: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        CalibrationFailed: `out` exists and is not an empty folder.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise CalibrationFailed(f"--out {out} exists already; choose another folder, or remove it")


def check_folder_writable(folder: Path) -> None:
    """Check that files can be written into a folder. It is made if it is missing.

    Raises:
        CalibrationFailed: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".", dir=folder):  # hidden, so that a manifest need not list it
            pass
    except OSError as error:
        raise CalibrationFailed(
            f"cannot write into {folder}: {error.strerror}; make it writable, or give another folder with --out"
        ) from error


def _check_manifest_unchanged(bundle: Bundle) -> None:
    """Raise BundleInvalid if the manifest is another one than the one that was opened. A hub folder has none."""
    manifest = bundle.folder / MANIFEST
    expected = bundle.manifest if bundle.manifest.files else None
    if (read_manifest(bundle.folder) if os.path.lexists(manifest) else None) != expected:
        raise BundleInvalid(f"{manifest} was changed {_CHANGE}")


def _manifest(bundle: Bundle, result: CalibrationResult, labels_sha256: str) -> Manifest:
    """Return the manifest with the calibration. It keeps the verified digests; those of a hub folder are computed."""
    recipe = bundle.manifest.recipe | {"calibration": _evidence(result, labels_sha256)}
    files = bundle.manifest.files or file_digests(bundle.folder)
    return bundle.manifest.model_copy(update={"calibration": result.calibration, "recipe": recipe, "files": files})


def _evidence(result: CalibrationResult, labels_sha256: str) -> dict[str, Any]:
    """Return the labels and the errors before and after, for the manifest."""
    qualities = (result.before, result.after)
    return {
        "labels": len(result.sample),
        "queries": result.queries,
        "labels_sha256": labels_sha256,
        "squared_error": [round(quality.squared_error, 6) for quality in qualities],
        "calibration_error": [round(quality.calibration_error, 6) for quality in qualities],
        "scikit-learn": version("scikit-learn"),
    }


def _ignored(_: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if is_ignored(name)}
