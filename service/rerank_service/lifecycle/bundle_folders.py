"""Folders from which Admin may load models: those in `--bundles-root`, those of the models of the server, and those
that the models have in the settings or the models file.

An admin key must not read other files of the server. Names such as `../x` and links are followed first, and then the
result is checked. The error for a folder outside does not say whether it exists.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rerank_service.error_text import excerpt
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.lifecycle.model_control_errors import FolderNotAllowed, LoadFailed
from rerank_service.models.bundle import is_ignored
from rerank_service.models.files import MANIFEST, TOKENIZER
from rerank_service.models.manifest_file import read_manifest

_FILES = (MANIFEST, TOKENIZER)
"""A folder with one of these files is shown as a bundle."""


@dataclass(frozen=True, slots=True)
class AvailableBundle:
    """A bundle that no model uses."""

    folder: Path
    digest: str
    """Same as `Bundle.digest`; empty for a folder without a manifest."""
    problem: str = ""
    """Why the manifest cannot be read; empty if it can. The digests of the files are not checked."""


class BundleFolders:
    """The folders that Admin may load, and the bundles in them. All methods read the file system, so they may block."""

    def __init__(self, root: Path | None = None) -> None:
        """Allow the folders in `root`; None: those of the models of the server only."""
        self._root = root

    def allowed(self, folder: str, known: Iterable[Path] = ()) -> Path:
        """Return the resolved path of a folder that a model may be loaded from.

        Args:
            folder: absolute path, or path in the root.
            known: folders that the models of the server have, or had at the start.

        Raises:
            InvalidRequest: the text is not a path.
            FolderNotAllowed: the folder, or a link in it, is outside the root.
            LoadFailed: the folder is inside the root, and is missing or is no folder.
        """
        if not folder.isprintable():
            raise InvalidRequest("folder has characters that are not printable", field="folder")
        resolved = _resolved(Path(self._root or "/", folder))
        if resolved in map(_resolved, known):
            return resolved
        root = None if self._root is None else _resolved(self._root)
        if root is None or root not in resolved.parents:
            raise FolderNotAllowed(f"folder {excerpt(folder)!r} is not allowed: {self._rule()}")
        if not os.path.isdir(resolved):  # noqa: PTH112 - Path.is_dir raises if a part of the path may not be read
            raise LoadFailed(f"{resolved} is not a folder: give the folder of a bundle")
        for path in _entries(resolved):
            if root not in _resolved(path).parents:
                raise FolderNotAllowed(self._link_out(path))
        return resolved

    def available(self, in_use: Iterable[Path] = ()) -> list[AvailableBundle]:
        """Return the bundles directly in the root that no model uses, by their names."""
        if self._root is None:
            return []
        root, used = _resolved(self._root), set(map(_resolved, in_use))
        inside = dict.fromkeys(_resolved(path) for path in _children(root) if not is_ignored(path.name))
        unused = [folder for folder in inside if root in folder.parents and folder not in used]
        shown = [folder for folder in unused if any(os.path.lexists(folder / name) for name in _FILES)]
        return [self._available(folder, root) for folder in shown]

    def _available(self, folder: Path, root: Path) -> AvailableBundle:
        manifest = folder / MANIFEST
        if not os.path.lexists(manifest):
            return AvailableBundle(folder, "")
        if root not in _resolved(manifest).parents:
            return AvailableBundle(folder, "", self._link_out(manifest))
        try:
            return AvailableBundle(folder, read_manifest(folder).digest)
        except BundleInvalid as error:
            return AvailableBundle(folder, "", str(error))

    def _link_out(self, path: Path) -> str:
        return f"{path} is a link out of {self._root}: copy the file, or remove the link"

    def _rule(self) -> str:
        if self._root is None:
            return "--bundles-root is unset, so only the folders of the models of the server are allowed (ListBundles)"
        return f"give a folder in {self._root} (--bundles-root)"


def _resolved(path: Path) -> Path:
    """Return the absolute path with all links followed. A loop of links, and a missing file, stay as they are."""
    return Path(os.path.realpath(path))


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all files and folders in a folder, and then those in the folders that its links lead to.

    Each folder is entered once, so loops of links end. A link is yielded before its folder is entered.
    """
    entered: set[Path] = set()
    for directory, folders, files in os.walk(folder, followlinks=True):
        if (resolved := _resolved(Path(directory))) in entered:
            folders.clear()
            continue
        entered.add(resolved)
        yield from (Path(directory, name) for name in (*folders, *files))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []  # the root is missing: there are no bundles
