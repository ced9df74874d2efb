"""The folder that a bundle is written to: checked before any work, replaced as a whole at the end."""

import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rerank_export.errors import ExportFailed
from rerank_service.models.enclosing_bundle import enclosing_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.manifest import Manifest

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Constants of renameat2(2)."""
_LEFTOVER = re.compile(rf"\.DS_Store|\.{re.escape(MANIFEST)}\.\d+")
"""Names of files that may be deleted with a bundle: those of a file manager, and of a process that was killed while it
wrote a manifest (models/manifest_file.py)."""
_open_work_folders: set[Path] = set()


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """The path of the new bundle."""

    given: Path
    """The path as the user wrote it, for messages."""
    target: Path
    """The absolute path, with links followed: a link itself is not replaced."""
    parent: Path
    """The nearest folder above that exists. The work folder is made there, on the same disk."""


def check_output(out: Path) -> OutputFolder:
    """Check that a bundle can be written to `out`, before the work that takes minutes.

    Raises:
        ExportFailed: something that is no bundle would be overwritten, another bundle would get further files, or the
            folder cannot be written.
    """
    try:
        target = out.resolve()
    except (OSError, RuntimeError) as error:
        raise ExportFailed(f"the output folder {out} is a link to itself: choose another folder") from error
    if Path.cwd().is_relative_to(target):
        raise ExportFailed(
            f"the output folder {out} is or contains the current folder, which would be deleted: choose another folder"
        )
    if (bundle := enclosing_bundle(out)) is not None:
        raise ExportFailed(
            f"--out {out} is inside the bundle {bundle}, which a server rejects if it has other files: give a folder "
            "outside this bundle"
        )
    if not _is_free(target):
        raise ExportFailed(f"{_occupied(out)}: choose another folder, or remove it")
    if os.path.ismount(target):
        raise ExportFailed(
            f"the output folder {out} is a mounted volume, which cannot be replaced: choose a folder inside it"
        )
    parent = next(parent for parent in target.parents if parent.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=parent):
            pass
    except OSError as error:
        raise ExportFailed(
            f"the output folder {out} cannot be written ({parent}: {error.strerror}): choose another folder"
        ) from error
    return OutputFolder(out, target, parent)


def _occupied(out: Path) -> str:
    return f"the output folder {out} exists and is no bundle, or holds other files, too"


def _is_free(target: Path) -> bool:
    """Return True if the path is free, an empty folder, or a folder that holds only a bundle."""
    if not target.is_dir():
        return not target.exists()
    try:
        manifest = Manifest.model_validate_json((target / MANIFEST).read_bytes())
    except FileNotFoundError:
        return not any(target.iterdir())
    except ValidationError:  # a manifest.json of another program
        return False
    return _holds_only(target, {target / name for name in (*manifest.files, MANIFEST)})


def _holds_only(target: Path, files: Collection[Path]) -> bool:
    """Return True if a folder holds no other files than these and leftovers, and no other folders than theirs."""
    folders = {folder for file in files for folder in file.parents}
    for path in target.rglob("*"):
        is_folder = path.is_dir() and not path.is_symlink()
        if not (path in folders if is_folder else path in files or _LEFTOVER.fullmatch(path.name)):
            return False
    return True


@contextmanager
def work_folder(output: OutputFolder) -> Iterator[Path]:
    """Make a temporary folder beside the target, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix=f".{output.target.name}-", dir=output.parent) as name:
        work = Path(name)
        _open_work_folders.add(work)
        try:
            yield work
        finally:
            _open_work_folders.discard(work)


def remove_work_folders() -> None:
    """Remove all work folders at once, from any thread: the process is about to end."""
    for work in tuple(_open_work_folders):
        shutil.rmtree(work, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change places in one step. Return False if the system or the file system cannot do so."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # an older C library
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0


def replace_folder(built: Path, output: OutputFolder) -> None:
    """Move a finished folder to the target, and leave the bundle that was there in the work folder.

    Both change places in one step, so a server finds one of them at any moment, even if this process is killed. A file
    system that cannot do so needs two steps; if the second one fails, the bundle is restored.

    Raises:
        ExportFailed: the target has got other files since `check_output`.
    """
    target = output.target
    built.chmod(0o755)  # onnx and tempfile make files that only their owner can read; the server may be another user
    for path in built.iterdir():
        path.chmod(0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _is_free(target):
        raise ExportFailed(
            f"{_occupied(output.given)}, since the export began. The new bundle was not written, and the folder is "
            "unchanged: move these files, and export again"
        )
    if target.exists() and _exchange(built, target):
        return
    old = built.with_name("replaced")
    if target.exists():
        target.replace(old)
    try:
        built.replace(target)
    except BaseException:  # another export wrote there first, or this process is asked to end
        if old.exists() and not target.exists():
            old.replace(target)
        raise
