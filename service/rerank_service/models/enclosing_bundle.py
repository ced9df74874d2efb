"""Find the bundle that a path is inside of. A server rejects a bundle with a file that its manifest does not list."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rerank_service.models.files import MANIFEST, TOKENIZER


def enclosing_bundle(path: Path, models: Iterable[Path] = ()) -> Path | None:
    """Return the bundle that a file or folder is inside of; None if there is none. A bundle is not inside itself.

    `models` are further model folders beside bundles.
    """
    folders = {Path(os.path.realpath(folder)) for folder in models}
    return next((folder for folder in _folders_of(path) if folder in folders or _is_bundle(folder)), None)


def _folders_of(path: Path) -> Iterator[Path]:
    """Yield the folders that a file is in: those of its name, and those of the target of a link."""
    folder = Path(os.path.realpath(path.parent))
    yield from (folder, *folder.parents)
    yield from Path(os.path.realpath(path)).parents


def _is_bundle(folder: Path) -> bool:
    return os.path.lexists(folder / MANIFEST) and os.path.lexists(folder / TOKENIZER)
