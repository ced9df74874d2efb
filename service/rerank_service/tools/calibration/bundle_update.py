"""Add a calibration to a bundle. Only the manifest changes, so that one rename publishes the whole change."""

import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rerank_service.errors import CalibrationFailed
from rerank_service.models.bundle import Bundle, is_ignored, open_bundle, write_manifest
from rerank_service.models.manifest import Manifest
from rerank_service.tools.calibration.calibrate import CalibrationResult


def update_in_place(bundle: Bundle, result: CalibrationResult, labels_sha256: str) -> Bundle:
    """Write the calibration to the bundle itself. `labels_sha256` is that of the file that it was fitted to."""
    return write_manifest(bundle.folder, _manifest(bundle, result, labels_sha256))


def update_copy(bundle: Bundle, result: CalibrationResult, labels_sha256: str, out: Path) -> Bundle:
    """Write a copy of the bundle with the calibration. `out` appears only when the copy is complete.

    Raises:
        CalibrationFailed: `out` exists and is not an empty folder.
    """
    check_output_folder(out)
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        copy = Path(work) / "bundle"
        shutil.copytree(bundle.folder, copy, ignore=_ignored)
        copy.chmod(0o755)  # the bundle may be read-only, as in an image
        write_manifest(copy, _manifest(bundle, result, labels_sha256))
        open_bundle(copy)
        copy.replace(target)
    return open_bundle(out)


def check_output_folder(out: Path) -> None:
    """Check that nothing would be overwritten.

    Raises:
        CalibrationFailed: `out` exists and is not an empty folder.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CalibrationFailed(f"--out {out} exists already; choose another folder, or remove it")


def _manifest(bundle: Bundle, result: CalibrationResult, labels_sha256: str) -> Manifest:
    recipe = bundle.manifest.recipe | {"calibration": _evidence(result, labels_sha256)}
    return bundle.manifest.model_copy(update={"calibration": result.calibration, "recipe": recipe})


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
