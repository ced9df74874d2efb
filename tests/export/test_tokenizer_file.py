"""The bundle's tokenizer equals that of transformers, for every format of the model's tokenizer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import read_tokenizer

TEXT = "The Capital of the UNITED states, fiebre"


@pytest.fixture
def source(sources: Callable[[str], Path], tmp_path: Path) -> ModelSource:
    """A BERT whose tokenizer the test may change."""
    return ModelSource(shutil.copytree(sources("bert"), tmp_path / "source"), "source")


def _assert_as_transformers(source: ModelSource, written: Path) -> None:
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(source.folder)([TEXT], ["ok"]).input_ids[0]
    assert Tokenizer.from_file(str(written)).encode(TEXT, "ok").ids == ids


def test_older_format_is_converted(source: ModelSource, tmp_path: Path) -> None:
    """The model has a vocab.txt and no tokenizer.json."""
    (source.folder / "tokenizer.json").unlink()
    (tmp_path / "written").write_bytes(read_tokenizer(source))
    _assert_as_transformers(source, tmp_path / "written")


def test_tokenizer_config_overrides_tokenizer_json(source: ModelSource, tmp_path: Path) -> None:
    """With do_lower_case off, transformers does not lower-case, although tokenizer.json would."""
    path = source.folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    (tmp_path / "written").write_bytes(read_tokenizer(source))
    assert (tmp_path / "written").read_bytes() != (source.folder / "tokenizer.json").read_bytes()
    _assert_as_transformers(source, tmp_path / "written")


def test_padding_and_truncation_do_not_count_as_changes(source: ModelSource, tmp_path: Path) -> None:
    """The published file is copied with them: the server sets its own."""
    published = source.folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(published))
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(published))
    (tmp_path / "written").write_bytes(read_tokenizer(source))
    assert (tmp_path / "written").read_bytes() == published.read_bytes()
