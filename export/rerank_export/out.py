"""The folder that a bundle is written to: looked at before any work, replaced at the end as a whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from rerank_export.errors import ExportFailed
from rerank_service.models.bundle import Manifest
from rerank_service.models.files import MANIFEST

_begun: set[Path] = set()
"""Folders that are worked in."""


@contextmanager
def work_folder(target: Path, there: Path) -> Iterator[Path]:
    """A folder beside the target that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=there) as name:
        work = Path(name)
        _begun.add(work)
        try:
            yield work
        finally:
            _begun.discard(work)


def clear_away() -> None:
    """Remove what is begun, on whichever thread: for a process that has to end at once."""
    for work in tuple(_begun):
        shutil.rmtree(work, ignore_errors=True)


def check_out(target: Path, asked: Path) -> Path:
    """See that a bundle may be written, before what takes minutes; gives the folder to work in, on the same disk.
    `asked` is what the caller calls it.

    Raises:
        ExportFailed: something else would be lost, or nothing can be written.
    """
    if not _is_free(target):
        raise ExportFailed(f"{asked} is there and is no bundle: choose another OUT, or remove it")
    if os.path.ismount(target):
        raise ExportFailed(f"{asked} is a mounted volume, which cannot be replaced as a whole: choose a folder in it")
    there = next(parent for parent in target.parents if parent.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=there):
            pass
    except OSError as error:
        raise ExportFailed(f"{asked} cannot be written ({there}: {error.strerror}): choose another OUT") from error
    return there


def _is_free(out: Path) -> bool:
    """Whether nothing but a bundle would be lost."""
    if not out.is_dir():
        return not out.exists()
    try:
        Manifest.model_validate_json((out / MANIFEST).read_bytes())
    except FileNotFoundError:
        return not any(out.iterdir())
    except ValidationError:  # others write files of that name too
        return False
    return True


def replace(made: Path, out: Path) -> None:
    """Put a finished folder in place."""
    made.chmod(0o755)  # onnx and tempfile make what only their owner reads; a server runs as somebody else
    for path in made.iterdir():
        path.chmod(0o644)
    out.parent.mkdir(parents=True, exist_ok=True)
    old = made.with_name("replaced")
    if out.exists():
        out.replace(old)
    try:
        made.replace(out)
    except BaseException:  # another export was quicker, or this one is told to end
        if old.exists() and not out.exists():
            old.replace(out)
        raise
