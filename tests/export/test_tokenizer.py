"""A bundle tokenizes as transformers does, whatever form the model's tokenizer has."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rerank_export.source import Source
from rerank_export.tokenizer import write_tokenizer

TEXT = "The Capital of the UNITED states, fiebre"


@pytest.fixture
def source(sources: Callable[[str], Path], tmp_path: Path) -> Source:
    """A BERT whose tokenizer may be changed."""
    return Source(shutil.copytree(sources("bert"), tmp_path / "source"), "source")


def _assert_as_transformers(source: Source, written: Path) -> None:
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(source.folder)([TEXT], ["ok"]).input_ids[0]
    assert Tokenizer.from_file(str(written)).encode(TEXT, "ok").ids == ids


def test_an_older_form_is_converted(source: Source, tmp_path: Path) -> None:
    """A model with a vocab.txt and no tokenizer.json gets one."""
    (source.folder / "tokenizer.json").unlink()
    write_tokenizer(source, tmp_path / "written")
    _assert_as_transformers(source, tmp_path / "written")


def test_what_tokenizer_config_overrules_is_overruled(source: Source, tmp_path: Path) -> None:
    """Where do_lower_case is off, transformers does not lower-case, though tokenizer.json would."""
    path = source.folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))
    write_tokenizer(source, tmp_path / "written")
    assert (tmp_path / "written").read_bytes() != (source.folder / "tokenizer.json").read_bytes()
    _assert_as_transformers(source, tmp_path / "written")


def test_padding_and_truncation_do_not_make_it_another(source: Source, tmp_path: Path) -> None:
    """Those of the published file stay in it: the server sets its own."""
    published = source.folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(published))
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(published))
    write_tokenizer(source, tmp_path / "written")
    assert (tmp_path / "written").read_bytes() == published.read_bytes()
