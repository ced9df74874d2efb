"""Files that commands write."""

import os
from pathlib import Path

from rerank_service.errors import SettingsInvalid


def check_writable(*paths: Path | None, make_folders: bool = False) -> None:
    """Check that files can be written, before minutes of work for their content.

    Args:
        paths: the files. None is none.
        make_folders: make missing folders. Otherwise, they are an error.

    Raises:
        SettingsInvalid: a file cannot be written.
    """
    _check_distinct([path for path in paths if path is not None])
    for path in filter(None, paths):
        try:
            if make_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            _open(path)
        except OSError as error:
            raise SettingsInvalid(f"cannot write {path}: {error.strerror}") from error


def _check_distinct(paths: list[Path]) -> None:
    """Reject a file for two results: the second would replace the first. Pipes and devices are accepted."""
    targets = [os.path.realpath(path) for path in paths if path.is_file() or not path.exists()]
    for path in paths:
        if targets.count(os.path.realpath(path)) > 1:
            raise SettingsInvalid(f"{path} is given for several results: give each a file of its own")


def _open(path: Path) -> None:
    """Open a file for writing, and leave everything as it was. A new, empty file would look like a result.

    A symbolic link without a target stays, and its target is removed again. A named pipe is not opened: its reader
    would see the end of the file, and be gone when the content is written.
    """
    if path.is_fifo():
        return
    existed = path.exists()
    with path.open("a"):
        pass
    if not existed:
        Path(os.path.realpath(path)).unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8.

    Raises:
        OSError: the file cannot be written. It names the file; Python does so only if the file cannot be opened.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        error.filename = str(path)
        raise
