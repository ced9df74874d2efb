"""A manifest that was damaged or edited is rejected, or its change is visible in the digest of the bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle, write_manifest
from rerank_service.models.catalog.bundle_name import bundle_name
from rerank_service.models.files import MANIFEST
from rerank_service.models.manifest_file import read_manifest
from support.small import write_small_model

_EDITED = (
    "was changed after it was written: its sha256 differs from recipe.manifest_sha256. Restore the file, or export"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle that a test may change."""
    return write_small_model(tmp_path / "small").folder


def _edit(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads((folder / MANIFEST).read_text())
    edit(value)
    (folder / MANIFEST).write_text(json.dumps(value))


def _rejection(folder: Path) -> str:
    with pytest.raises(BundleInvalid) as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)
    assert str(folder / MANIFEST) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"pad_id": 1},
        {"max_tokens": 16},
        {"activation": "identity"},
        {"name": "other"},
        {"source": "elsewhere"},
        {"revision": "main"},
        {"recipe": {"template_origin": "--template none", "manifest_sha256": "0" * 64}},
        {"variants": [{"file": "model.onnx", "precision": "fp32", "weights": "fp32", "speed": 9.5}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_edited_manifest_is_rejected(folder: Path, change: dict[str, object]) -> None:
    """Also in a field that scores do not depend on. All readers of a manifest reject it."""
    _edit(folder, lambda value: value.update(change))
    assert _EDITED in _rejection(folder)
    assert _rejection(folder).endswith("To keep the change, remove manifest_sha256 from recipe")
    for read in (read_manifest, bundle_name):
        with pytest.raises(BundleInvalid, match="was changed after it was written"):
            read(folder)


def test_edit_without_the_own_digest_changes_the_digest_of_the_bundle(folder: Path) -> None:
    """So the operator can keep a change, and a pinned digest notices it."""
    before = open_bundle(folder)

    def edit(value: dict[str, Any]) -> None:
        value["pad_id"] = 1
        del value["recipe"]["manifest_sha256"]

    _edit(folder, edit)
    after = open_bundle(folder)
    assert (after.manifest.pad_id, before.manifest.pad_id) == (1, 0)
    assert after.digest != before.digest
    assert open_bundle(folder) == after
    assert read_manifest(write_manifest(folder, after.manifest).folder).recipe["manifest_sha256"]


def test_order_and_white_space_do_not_matter(folder: Path) -> None:
    """Tools that format JSON keep the content."""
    before = open_bundle(folder)
    value = dict(reversed(json.loads((folder / MANIFEST).read_text()).items()))
    (folder / MANIFEST).write_text(json.dumps(value, indent=7, ensure_ascii=False))
    assert open_bundle(folder) == before


def test_name_that_is_there_twice_is_rejected(folder: Path) -> None:
    """The last one would count, and a reader may see the first one."""
    text = (folder / MANIFEST).read_text().replace('"pad_id": 0', '"pad_id": 0, "pad_id": 1')
    (folder / MANIFEST).write_text(text)
    assert "is not JSON: 'pad_id' is there twice in an object. Correct it, or export" in _rejection(folder)


def _without_own_digest(value: dict[str, Any]) -> None:
    del value["recipe"]["manifest_sha256"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pad_id": True}, "pad_id: Input should be a valid integer. Correct it"),
        ({"max_tokens": "512"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 7}, "max_tokens: Input should be greater than or equal to 8"),
        ({"difference": [1, 1]}, "difference."),
        ({"difference": [0, 2]}, "difference."),
        ({"tokens": 7}, "tokens: Extra inputs are not permitted"),
    ],
    ids=["boolean", "text", "too few", "one label twice", "no such label", "unknown"],
)
def test_wrong_value_is_rejected(folder: Path, change: dict[str, object], reason: str) -> None:
    """The message names the field, also in a bundle of version 0.1."""
    _edit(folder, _without_own_digest)
    _edit(folder, lambda value: value.update(change))
    assert f"{MANIFEST}: {reason}" in _rejection(folder)


@pytest.mark.parametrize("field", ["max_position_embeddings", "n_positions"])
def test_more_tokens_than_positions_are_rejected(folder: Path, field: str) -> None:
    """Longer pairs would fail."""
    (folder / "config.json").write_text(json.dumps({field: 32}))
    write_manifest(folder, read_manifest(folder))
    assert open_bundle(folder).manifest.max_tokens == 32
    _edit(folder, _without_own_digest)
    _edit(folder, lambda value: value.update(max_tokens=33))
    assert (
        f"has max_tokens 33, but the model has 32 positions for tokens ({field} in config.json is 32): set it to at "
        "most 32"
    ) in _rejection(folder)


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_relative_positions_are_no_limit(folder: Path, kind: str) -> None:
    """T5 states the length of its training as `n_positions`. The bundle has 32 tokens."""
    (folder / "config.json").write_text(json.dumps({"n_positions": 16, "model_type": kind}))
    write_manifest(folder, read_manifest(folder))
    assert open_bundle(folder).manifest.max_tokens == 32


@pytest.mark.parametrize(("positions", "accepted"), [(33, True), (32, False)])
def test_positions_up_to_the_padding_token_are_not_used(folder: Path, positions: int, accepted: bool) -> None:
    """By RoBERTa and similar models. The bundle has 32 tokens, and the padding token 0."""
    config = {"max_position_embeddings": positions, "model_type": "roberta"}
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder, read_manifest(folder))
    if accepted:
        assert open_bundle(folder).manifest.max_tokens == 32
    else:
        assert "has max_tokens 32, but the model has 31 positions for tokens" in _rejection(folder)
