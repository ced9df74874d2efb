"""Files that commands write."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_service.errors import SettingsInvalid


def check_writable(*paths: Path | None, make_folders: bool = False, models: Iterable[Path] = ()) -> None:
    """Check that files can be written, before minutes of work for their content.

    Args:
        paths: the files. None is none.
        make_folders: make missing folders. Otherwise, they are an error.
        models: further model folders beside bundles, such as one that will be a bundle.

    Raises:
        SettingsInvalid: a file cannot be written, or is inside a model folder.
    """
    given = [path for path in paths if path is not None]
    for path in given:
        check_outside_models(path, models)
        try:
            if make_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
            _open(path)
        except OSError as error:
            raise SettingsInvalid(f"cannot write {path}: {error.strerror}") from error
    _check_distinct(given)


def check_outside_models(path: Path, models: Iterable[Path] = ()) -> None:
    """Check that a file or folder to write is outside all bundles. A server rejects a bundle with another file.

    `models` are further model folders beside bundles.

    Raises:
        SettingsInvalid: it is inside a bundle, or inside one of `models`.
    """
    from rerank_service.models.enclosing_bundle import enclosing_bundle

    inside = enclosing_bundle(path, models)
    if inside is not None:
        raise SettingsInvalid(
            f"{path} is inside the model folder {inside}, which a server rejects if it has other files: give a path "
            "outside this folder"
        )


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
        OSError: the file cannot be written. It names the file.
    """
    with named_in_errors(path):
        path.write_text(text, "utf-8")


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Name a file in an OSError of the block. Python does so only if the file cannot be opened."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
