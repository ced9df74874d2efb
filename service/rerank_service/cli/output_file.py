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
    for path in filter(None, paths):
        try:
            if make_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            _open(path)
        except OSError as error:
            raise SettingsInvalid(f"cannot write {path}: {error.strerror}") from error


def _open(path: Path) -> None:
    """Open a file for writing, and leave everything as it was. A new, empty file would look like a result.

    A symbolic link without a target stays, and its target is removed again.
    """
    existed = path.exists()
    with path.open("a"):
        pass
    if not existed:
        Path(os.path.realpath(path)).unlink()
