"""Lines of entries and fields. The tests of the two files that are read in this way cover the rest."""

import pytest

from rerank_service.yaml_entries import read_entries

MERGED = b"""
- &first
  name: a
  weight: 2
- <<: *first
  name: b
- *first
"""


def test_merged_fields_are_not_duplicates() -> None:
    """An entry may take the fields of another one by `<<`, and replace some. A merged field is in the entry's line."""
    content = read_entries(MERGED)
    assert content.values == [{"name": "a", "weight": 2}, {"name": "b", "weight": 2}, {"name": "a", "weight": 2}]
    assert list(content.duplicates()) == []
    assert [content.line(1, field) for field in ("name", "weight", None)] == [6, 5, 5]


def test_json_may_escape_characters_beyond_16_bits() -> None:
    """Python's json writes them so. YAML has no such escapes."""
    content = read_entries(b'[{"a": 1},\n {"aliases": ["\\ud842\\udfb7"], "name": "b"}]')
    assert content.values == [{"a": 1}, {"aliases": ["\U00020bb7"], "name": "b"}]
    assert content.line(1, "name") == 2


@pytest.mark.parametrize("content", [b'[{"name": 1,\n\t"name": 2}]', b"- name: 1\n  name: 2"])
def test_fields_that_are_there_twice_are_found(content: bytes) -> None:
    """In JSON and in YAML, which would use the last one."""
    assert list(read_entries(content).duplicates()) == [(0, "name", 2)]
