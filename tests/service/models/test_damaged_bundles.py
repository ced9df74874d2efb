"""Damaged files of a bundle: each is rejected by its digest, in one line, before another library reads it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import numpy_helper

from rerank_service.errors import BundleInvalid, OperatorError
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.files import GOLDEN, GRAPH, MANIFEST, REPORT, TOKENIZER, WEIGHTS
from rerank_service.models.golden_pairs import GoldenPair, write_golden_pairs
from rerank_service.models.loading import load_selected
from rerank_service.models.manifest_file import read_manifest
from rerank_service.models.model_options import ModelOptions
from rerank_service.ranking.calibration_curve import Calibration, Platt
from support.damage import FEW, Damage, damages
from support.small import write_small_model

_LISTED = (GRAPH, WEIGHTS, TOKENIZER, "config.json", REPORT, GOLDEN)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with each kind of file, and with a calibration."""
    folder = write_small_model(tmp_path_factory.mktemp("damaged") / "small").folder
    model = onnx.load(folder / GRAPH)
    for tensor in model.graph.initializer:  # only raw bytes can be beside the graph
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.save_model(model, folder / GRAPH, save_as_external_data=True, location=WEIGHTS, size_threshold=64)
    (folder / REPORT).write_text(json.dumps({"verdict": "passed", "pairs_per_second": 7}))
    write_golden_pairs(folder, [GoldenPair(query="1", document="3 4", logit=7.0)])
    curve = Calibration(meaning="probability", curve=Platt(slope=0.5, intercept=-1.0))
    return write_manifest(folder, read_manifest(folder).model_copy(update={"verdict": "passed", "calibration": curve}))


@contextmanager
def _changed(path: Path, content: bytes) -> Iterator[None]:
    """Change a file for the block."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def _rejection(folder: Path) -> str:
    with pytest.raises(BundleInvalid) as caught:
        open_bundle(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert "again" in message, "the next step"
    return message


def test_undamaged_bundle_is_served(bundle: Bundle, tmp_path: Path) -> None:
    """So the other tests damage a bundle that works."""
    assert load_selected(ModelOptions(folder=bundle.folder, cache=tmp_path)).info.calibration == "platt, probability"


@given(st.sampled_from(_LISTED), damages)
def test_damaged_file_is_rejected(bundle: Bundle, name: str, damage: Damage) -> None:
    """One flipped bit is enough, also in weights. The message names the file."""
    content = (bundle.folder / name).read_bytes()
    damaged = damage(content)
    assume(damaged != content)
    with _changed(bundle.folder / name, damaged):
        assert f"{bundle.folder / name} was altered: its sha256 differs from {MANIFEST}" in _rejection(bundle.folder)


@given(damages)
def test_damaged_manifest_is_rejected(bundle: Bundle, damage: Damage) -> None:
    """Unless its content is the same, such as with another blank. The message names the manifest."""
    content = (bundle.folder / MANIFEST).read_bytes()
    with _changed(bundle.folder / MANIFEST, damage(content)):
        try:
            opened = open_bundle(bundle.folder)
        except BundleInvalid:
            assert str(bundle.folder / MANIFEST) in _rejection(bundle.folder)
        else:
            assert opened.manifest.model_copy(update={"recipe": bundle.manifest.recipe}) == bundle.manifest


@FEW
@given(damages)
def test_damaged_manifest_of_version_01_ends_in_one_line(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory, damage: Damage
) -> None:
    """It has no digest of itself. A bundle that loads has no other digest than its values."""
    value = json.loads((bundle.folder / MANIFEST).read_bytes())
    del value["recipe"]["manifest_sha256"]
    with _changed(bundle.folder / MANIFEST, damage(json.dumps(value, indent=2).encode())):
        message = ""
        try:
            load_selected(ModelOptions(folder=bundle.folder, cache=tmp_path_factory.mktemp("cache")))
        except OperatorError as error:
            message = str(error)
        assert message == "" or message.isprintable()


@pytest.mark.parametrize(("one", "other"), [(GRAPH, WEIGHTS), (TOKENIZER, "config.json"), (REPORT, GOLDEN)])
def test_swapped_files_are_rejected(bundle: Bundle, one: str, other: str) -> None:
    """The message names one of them."""
    contents = [(bundle.folder / name).read_bytes() for name in (one, other)]
    with _changed(bundle.folder / one, contents[1]), _changed(bundle.folder / other, contents[0]):
        message = _rejection(bundle.folder)
        assert f"{bundle.folder / one} was" in message or f"{bundle.folder / other} was" in message


@pytest.mark.parametrize("name", [*_LISTED, MANIFEST])
def test_empty_file_is_rejected(bundle: Bundle, name: str) -> None:
    """A full disk leaves such files."""
    with _changed(bundle.folder / name, b""):
        assert str(bundle.folder / name) in _rejection(bundle.folder)
