"""A calibration put into a bundle. All of it is in the manifest, so that one rename is enough."""

import shutil
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rerank_service.errors import CalibrationFailed
from rerank_service.models.bundle import Bundle, file_digest, is_ignored, open_bundle, write_manifest
from rerank_service.models.manifest import Manifest
from rerank_service.tools.calibration.calibrate import Calibrated


def keep_in_place(bundle: Bundle, found: Calibrated, labels: Path) -> Bundle:
    """In the bundle itself."""
    return write_manifest(bundle.folder, _manifest(bundle, found, labels))


def keep_in_copy(bundle: Bundle, found: Calibrated, labels: Path, out: Path) -> Bundle:
    """In a copy; nothing is left at `out` unless it is whole.

    Raises:
        CalibrationFailed: something is there already.
    """
    check_free(out)
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        made = Path(work) / "bundle"
        shutil.copytree(bundle.folder, made, ignore=_ignored)
        made.chmod(0o755)  # the bundle may be read-only, as in an image
        write_manifest(made, _manifest(bundle, found, labels))
        open_bundle(made)
        made.replace(target)
    return open_bundle(out)


def check_free(out: Path) -> None:
    """Raise CalibrationFailed where something would be lost."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise CalibrationFailed(f"{out} is there already: choose another folder, or remove it")


def _manifest(bundle: Bundle, found: Calibrated, labels: Path) -> Manifest:
    recipe = bundle.manifest.recipe | {"calibration": _evidence(found, labels)}
    return bundle.manifest.model_copy(update={"calibration": found.calibration, "recipe": recipe})


def _evidence(found: Calibrated, labels: Path) -> dict[str, Any]:
    """How it was made."""
    return {
        "labels": len(found.sample),
        "queries": found.queries,
        "labels_sha256": file_digest(labels),
        "squared_error": [round(one.squared_error, 6) for one in (found.before, found.after)],
        "calibration_error": [round(one.calibration_error, 6) for one in (found.before, found.after)],
        "scikit-learn": version("scikit-learn"),
    }


def _ignored(_: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if is_ignored(name)}
