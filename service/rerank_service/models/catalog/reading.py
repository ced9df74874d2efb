"""Read a catalog of models: a models file, or a folder of bundles."""

import os
from pathlib import Path

from rerank_service.errors import SettingsInvalid
from rerank_service.models.bundle import is_ignored
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.catalog.models_file import read_models_file
from rerank_service.models.files import CONFIG, MANIFEST
from rerank_service.models.registry import DEFAULT_NAMES


def read_catalog(path: Path) -> tuple[ModelEntry, ...]:
    """Return the models of a models file (YAML or JSON) or of a folder of bundles, as docs/models-file.md describes
    them. The first one is the default model.

    Raises:
        SettingsInvalid: the file or the folder cannot be read, or an entry is wrong. The message is one line with the
            path, and for a file with the line, the field, its value and the allowed values.
    """
    is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises an error if the name is too long
    return _read_folder(path) if is_folder else read_models_file(path)


def _read_folder(path: Path) -> tuple[ModelEntry, ...]:
    """Return an entry for each folder in a folder. Its name is the name of the model."""
    if _is_model_folder(path):
        raise SettingsInvalid(f"--models {path}: is a model folder: set --model to serve it alone")
    try:
        folders = sorted(child for child in path.iterdir() if child.is_dir() and not is_ignored(child.name))
    except OSError as error:
        raise SettingsInvalid(f"--models {path}: cannot be read: {error.strerror}") from error
    if not folders:
        raise SettingsInvalid(f"--models {path}: has no folder: put at least one bundle there")
    for folder in folders:
        _check_folder(path, folder, is_first=folder is folders[0])
    return tuple(ModelEntry(folder=folder, place=str(folder), name=folder.name) for folder in folders)


def _check_folder(path: Path, folder: Path, *, is_first: bool) -> None:
    if not _is_model_folder(folder):
        why = f"is not a model folder, because it has neither {MANIFEST} nor {CONFIG}"
    elif not folder.name.isprintable():
        why = "cannot be the name of a model, because it has characters that are not printable"
    elif folder.name in DEFAULT_NAMES and not is_first:
        why = "cannot be the name of this model, because it means the first model"
    else:
        return
    raise SettingsInvalid(f"--models {path}: {folder.name!r} {why}: rename it, or begin its name with a dot")


def _is_model_folder(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (MANIFEST, CONFIG))
