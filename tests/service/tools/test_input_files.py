"""Input files with lone surrogates, and in other encodings."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from rerank_service.errors import FileInvalid
from rerank_service.tools.input_files import read_columns, read_objects


class _Row(BaseModel):
    text: str


@pytest.mark.parametrize("line", [rb'{"text": "a \ud83d", "other": "\ude00"}', b'{"text": "a \xed\xa0\xbd"}'])
def test_lone_surrogate_of_a_json_line_becomes_the_replacement_character(tmp_path: Path, line: bytes) -> None:
    """As escape and as CESU-8. The other lines stay."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "\xf0\x9f\x98\x80"}\n' + line + b"\n")
    assert [row.text for _, row in read_objects(path, _Row)] == ["😀", "a \ufffd"]


@pytest.mark.parametrize(
    "line", [b'{"text": "\xe9"}', rb'{"text": "\ud83d"', rb'{"text": "\x"}', rb'{"text": 5, "a": "\ud83d"}']
)
def test_line_with_another_fault_is_named(tmp_path: Path, line: bytes) -> None:
    """Another encoding, invalid JSON, and a wrong type beside a surrogate."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line)
    with pytest.raises(FileInvalid, match=r"rows\.jsonl:2: "):
        list(read_objects(path, _Row))


def test_columns_are_repaired_too(tmp_path: Path) -> None:
    """A truncated character stays an error, with its line."""
    path = tmp_path / "rows.tsv"
    path.write_bytes(b"1\ta \xed\xa0\xbd\n2\t\xe4\xb8\n")
    rows = read_columns(path, 2, separator=b"\t")
    assert next(rows)[1] == ["1", "a \ufffd"]
    with pytest.raises(FileInvalid, match=r"rows\.tsv:2: the line is not UTF-8 text"):
        next(rows)
