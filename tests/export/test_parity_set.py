"""The parity set: built-in or the user's own, and its encoding for a model."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rerank_export.errors import ExportFailed
from rerank_export.gate.gate_options import GateOptions
from rerank_export.gate.parity_set import encode_fitting, left_out_line, read_parity_set
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set


def test_built_in_set_is_read_whole_or_in_part() -> None:
    """It has 200 queries with 20 documents each. A number keeps the first ones."""
    whole = read_parity_set(None, None)
    assert (whole.name, len(whole.queries), len(whole.pairs), whole.digest) == (
        "built-in",
        200,
        4000,
        parity_set.digest(),
    )
    some = read_parity_set(None, 3)
    assert (some.of, some.queries) == (200, whole.queries[:3])


def _write(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_own_set_may_be_a_pipe(tmp_path: Path) -> None:
    """It is read once, so the digest is that of its lines."""
    line = json.dumps({"query": "a", "documents": ["x", "y"]}).encode() + b"\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(pipe.write_bytes, line)
        found = read_parity_set(pipe, None)
        written.result()
    assert found.digest == hashlib.sha256(line).hexdigest()


def test_own_set_has_one_query_per_line(tmp_path: Path) -> None:
    """A document is a text or an object with `text`. Other fields are ignored."""
    first = {"query": "a", "documents": ["x", "y"]}
    second = {"query": "b", "documents": [{"id": "1", "text": "z", "grade": 2}, "y"], "qid": "7"}
    found = read_parity_set(_write(tmp_path, first, "", second), None)
    assert found.pairs == [("a", "x"), ("a", "y"), ("b", "z"), ("b", "y")]
    assert (found.name, found.of) == ("own.jsonl", 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"documents": ["x", "y"]}, "2: query is required: each line needs query, documents"),
        ({"query": "", "documents": ["x", "y"]}, "2: query: String should have at least 1 character"),
        ({"query": "a", "documents": ["x"]}, "2: documents: List should have at least 2 items"),
        ({"query": "a", "documents": ["x", {"id": "1"}]}, "2: documents.1: Input should be a valid string"),
        ("{", "2: Invalid JSON"),
    ],
)
def test_invalid_line_is_named(line: object, reason: str, tmp_path: Path) -> None:
    """The message names file, line and field."""
    path = _write(tmp_path, {"query": "a", "documents": ["x", "y"]}, line)
    with pytest.raises(ExportFailed) as refused:
        read_parity_set(path, None)
    assert str(refused.value).startswith(f"{path}:{reason}")


def test_missing_or_empty_file_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ExportFailed, match=r"--parity no\.jsonl cannot be read: No such file"):
        read_parity_set(Path("no.jsonl"), None)
    with pytest.raises(ExportFailed, match=r"own\.jsonl: the file has no query"):
        read_parity_set(_write(tmp_path), None)


def test_query_too_long_for_the_window_is_left_out(bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """The server would refuse it. If no query fits, there is nothing to compare."""
    tokenizer = PairTokenizer(bundles("bert").tokenizer, max_tokens=16)
    long, short = {"query": "over the lazy dog " * 9, "documents": ["a", "b"]}, {"query": "a", "documents": ["b", "c"]}
    kept, encoded = encode_fitting(read_parity_set(_write(tmp_path, long, short), None), tokenizer)
    assert ([query.text for query in kept.queries], len(encoded)) == (["a"], 1)
    with pytest.raises(ExportFailed, match="no query of the parity set fits the model's window of 16 tokens"):
        encode_fitting(read_parity_set(_write(tmp_path, long), None), tokenizer)


def test_equal_documents_are_kept_once(tmp_path: Path) -> None:
    """Their order would depend on the last bits of their logits."""
    file = tmp_path / "own.jsonl"
    file.write_text('{"query": "q", "documents": ["a", "b", "a"]}\n')
    assert read_parity_set(file, None).queries[0].documents == ("a", "b")
    file.write_text('{"query": "q", "documents": ["a", "b"]}\n{"query": "q", "documents": ["a", {"text": "a"}]}\n')
    with pytest.raises(ExportFailed, match=r"own\.jsonl:2: documents: all texts are equal; at least two"):
        read_parity_set(file, None)


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_invalid_number_of_queries_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RERANK_PARITY_QUERIES is checked before the export starts."""
    monkeypatch.setenv("RERANK_PARITY_QUERIES", value)
    with pytest.raises(ExportFailed, match=f"RERANK_PARITY_QUERIES='{value}' must be a whole number of at least 1"):
        GateOptions()


def test_queries_that_are_left_out_are_reported(tmp_path: Path) -> None:
    """With the limit. A set whose queries all fit has no line."""
    lines = [{"query": query, "documents": ["x", "y"]} for query in ("a", "b", "c")]
    whole = read_parity_set(_write(tmp_path, *lines), None)
    fitting = read_parity_set(_write(tmp_path, *lines), 1)
    assert left_out_line(whole, whole, 64) == ""
    assert left_out_line(whole, fitting, 64) == (
        "parity set: 2 of 3 queries are left out, because they do not fit the model's window of 64 tokens; the gate "
        "compares the other 1"
    )
