"""A model folder that changes while it is loaded: parts of two models are never mixed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.files import TOKENIZER, WEIGHTS
from rerank_service.models.loading import SelectedModel, load_selected, select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from support.plain_bert import PLAIN_BERT
from support.small import write_small_model


def _replace_folder(folder: Path) -> None:
    """Move another bundle to the place of this one, as `mv` does."""
    other = write_small_model(folder.with_name("other"), weights_beside=True).folder
    folder.rename(folder.with_name("old"))
    other.rename(folder)


def _replace_weights(folder: Path) -> None:
    other = folder / "new"
    other.write_bytes(bytes((folder / WEIGHTS).stat().st_size))
    other.replace(folder / WEIGHTS)


def _write_in_place(folder: Path) -> None:
    with (folder / TOKENIZER).open("a") as file:
        file.write(" ")


@pytest.mark.parametrize("change", [_replace_folder, _replace_weights, _write_in_place])
@pytest.mark.parametrize("manifest", [True, False], ids=["bundle", "hub folder"])
def test_a_folder_that_changes_after_its_verification_is_not_served(
    manifest: bool, change: Callable[[Path], None], tmp_path: Path
) -> None:
    """The digests are those of the files before. Another load takes the new files."""
    selected = _selected(tmp_path, manifest=manifest)
    change(selected.bundle.folder)
    with pytest.raises(BundleInvalid, match="was changed while the model was loaded: load it again"):
        selected.load()
    if change is _replace_folder:
        assert load_selected(selected.options).info.name == "small"


def test_a_folder_that_vanishes_after_its_verification_is_not_served(tmp_path: Path) -> None:
    """The error is about the folder, and no error of a library."""
    selected = _selected(tmp_path, manifest=True)
    shutil.rmtree(selected.bundle.folder)
    with pytest.raises(BundleInvalid, match=str(selected.bundle.folder)):
        selected.load()


def test_another_manifest_may_come_while_a_model_is_loaded(tmp_path: Path) -> None:
    """`rerank calibrate` replaces it alone. It is read once, so nothing is mixed."""
    selected = _selected(tmp_path, manifest=True)
    write_manifest(selected.bundle.folder, selected.bundle.manifest.model_copy(update={"name": "other"}))
    assert selected.load().info.name == "small"


def test_a_derived_graph_of_changed_files_is_not_cached(starter: Bundle, tmp_path: Path) -> None:
    """Its key has the digest of the files before, so the cache would keep the weights of another model."""
    folder = tmp_path / "bert"
    folder.mkdir()
    shutil.copy(PLAIN_BERT, folder / starter.manifest.variants[0].file)
    shutil.copy(starter.tokenizer, folder)
    bundle = open_bundle(_listed(folder, starter).folder)
    shutil.copy(PLAIN_BERT, folder / "new")
    (folder / "new").replace(bundle.graph)
    cache = Cache(tmp_path / "cache")
    with pytest.raises(BundleInvalid, match="was changed while"):
        graph_for(bundle, Engine(Provider.CUDA, Precision.FP16), cache)
    assert cache.counts() == (0, 0)


def _listed(folder: Path, starter: Bundle) -> Bundle:
    variants = starter.manifest.variants[:1]
    return write_manifest(folder, starter.manifest.model_copy(update={"variants": variants, "verdict": None}))


def _selected(folder: Path, *, manifest: bool) -> SelectedModel:
    bundle = write_small_model(folder / "small", weights_beside=True)
    if not manifest:
        (bundle.folder / "manifest.json").unlink()
    return select_model(ModelOptions(folder=bundle.folder, cache=folder / "cache"))
