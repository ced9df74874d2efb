"""The folder of bundles. test_models_file.py covers the models file."""

import os
from pathlib import Path

import pytest

from rerank_service.errors import SettingsInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.catalog.reading import read_catalog
from support.hub_folder import write_hub_folder


def _rejection(path: Path) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read_catalog(path)
    return str(caught.value).removeprefix(f"--models {path}: ")


def test_folders_are_models(tmp_path: Path, small_model: Bundle) -> None:
    """In alphabetical order, under their own names. Files and hidden folders are ignored, links are followed."""
    (tmp_path / "b").symlink_to(small_model.folder)
    write_hub_folder(tmp_path / "a")
    (tmp_path / ".copying").mkdir()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README.md").write_text("bundles")
    assert read_catalog(tmp_path) == tuple(
        ModelEntry(folder=tmp_path / name, place=str(tmp_path / name), name=name) for name in ("a", "b")
    )


def test_folder_of_something_else_is_rejected(tmp_path: Path, small_model: Bundle) -> None:
    """The message has the folder and the next step."""
    assert _rejection(tmp_path) == "has no folder: put at least one bundle there"
    assert _rejection(small_model.folder) == "is a model folder: set --model to serve it alone"
    (tmp_path / "a").symlink_to(small_model.folder)
    (tmp_path / "notes").mkdir()
    assert _rejection(tmp_path) == (
        "'notes' is not a model folder, because it has neither manifest.json nor config.json: rename it, or begin its "
        "name with a dot"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"default", "'default' cannot be the name of this model, because it means the first model"),
        (b"b\nc", "'b\\nc' cannot be the name of a model, because it has characters that are not printable"),
        (b"b\xff", "'b\\udcff' cannot be the name of a model"),
    ],
)
def test_folder_names_are_model_names(tmp_path: Path, small_model: Bundle, name: bytes, words: str) -> None:
    """A request must be able to name the model, and `default` means the first one."""
    (tmp_path / "a").symlink_to(small_model.folder)
    (tmp_path / os.fsdecode(name)).symlink_to(small_model.folder)
    assert _rejection(tmp_path).startswith(words)


def test_unreadable_folder_is_an_error(tmp_path: Path) -> None:
    """A broken link has no content."""
    (tmp_path / "link").symlink_to(tmp_path / "none")
    assert _rejection(tmp_path / "link") == "cannot be read: No such file or directory"
