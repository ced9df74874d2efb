"""Damaged models files: each is read, or ends in one line that names the file."""

from pathlib import Path

import pytest
from hypothesis import example, given

from rerank_service.errors import SettingsInvalid
from rerank_service.models.catalog.reading import read_catalog
from support.damage import Damage, damages

_YAML = b"""# Models of the search team
- bundle: m
  name: first
  aliases: [one, "1"]
  provider: cpu
  precision: fp32
  weight: 2.5
  digest: 94a044b3284d0924ac0b3a055e918f77393d68222eba64c063d6c13ba4d0bf2a
- &other
  bundle: m
  name: second
  lanes: 2
  load: on_demand
  unload_after: 600
- <<: *other
  name: third
  max_live_tokens: 100000
"""
_JSON = b'[{"bundle": "m", "name": "first", "lanes": 1},\n\t{"bundle": "m", "name": "second", "weight": 0.5}]'


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models file, beside the folder that it names."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "m").mkdir()
    return folder / "models.yaml"


def _check(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    message = ""
    try:
        read_catalog(file)
    except SettingsInvalid as error:
        message = str(error)
    assert not message or (message.isprintable() and message.startswith(f"--models {file}: "))


def test_undamaged_files_are_read(file: Path) -> None:
    """So the other tests damage a file that works."""
    for content, models in ((_YAML, 3), (_JSON, 2)):
        file.write_bytes(content)
        assert len(read_catalog(file)) == models


@given(damages)
@example(lambda content: content.replace(b"2.5", b"!!timestamp 2.5"))
@example(lambda content: content.replace(b"600", b"!!int ''"))
@example(lambda content: content.replace(b"600", b"!!bool 600"))
@example(lambda content: content[:0])
def test_damaged_yaml_ends_in_one_line(file: Path, damage: Damage) -> None:
    """A value that does not fit its tag made PyYAML raise an AttributeError."""
    _check(file, damage(_YAML))


@given(damages)
def test_damaged_json_ends_in_one_line(file: Path, damage: Damage) -> None:
    """It may still be YAML."""
    _check(file, damage(_JSON))
