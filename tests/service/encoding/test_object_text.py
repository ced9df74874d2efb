"""The text of an object document, for each form that a caller may send."""

from typing import Any

import pytest

from rerank_service.encoding.object_text import (
    MAX_RANK_FIELDS,
    check_rank_fields,
    object_items,
    object_length,
    object_text,
    parse_object,
)
from rerank_service.errors import InvalidRequest


@pytest.mark.parametrize(
    ("value", "rank_fields", "text"),
    [
        ({"text": "plain"}, [], "plain"),
        ({"text": ""}, [], ""),
        ({"title": "A", "text": "b"}, [], "title: A\ntext: b"),
        ({"text": "b", "title": "A"}, [], "text: b\ntitle: A"),
        ({"title": "A", "text": "b"}, ["text", "title"], "text: b\ntitle: A"),
        ({"title": "A", "text": "b"}, ["text"], "b"),
        ({"title": "A", "text": "b"}, ["text", "absent"], "b"),
        ({"title": "A", "note": None}, [], "A"),
        ({"a": "x: 'y'\nz", "b": "ü😀"}, [], "a: x: 'y'\nz\nb: ü😀"),
        ({"year": 1999, "ok": True, "rate": 0.5}, [], "year: 1999\nok: true\nrate: 0.5"),
        ({"year": 1999}, [], "1999"),
        ({"tags": ["a", "ü"], "n": 1}, [], "tags:\n- a\n- ü\nn: 1"),
        ({"tags": ["a", "b"]}, [], "- a\n- b"),
        ({"by": {"name": "Zoë", "at": [1, 2]}, "n": 1}, [], "by:\n  name: Zoë\n  at:\n  - 1\n  - 2\nn: 1"),
        ({"empty": [], "n": {}}, [], "empty: []\nn: {}"),
        ({"tags": ["ü😀", "𠮷", "日本"], "n": 1}, [], "tags:\n- ü😀\n- 𠮷\n- 日本\nn: 1"),
        ({"by": {"nick": "😀"}}, [], "nick: 😀"),
        (
            {"rows": [{"a": 1, "b": "x"}, {"a": 2, "b": None}], "n": 1},
            [],
            "rows:\n- a: 1\n  b: x\n- a: 2\n  b: null\nn: 1",
        ),
        ({"rows": [{"a": 1, "b": "x"}, {"a": 2}]}, [], "- a: 1\n  b: x\n- a: 2"),
        ({"z": "1", "a": "2", "m": "3"}, ["m", "z"], "m: 3\nz: 1"),
        ({"title": "A", "text": ""}, [], "title: A\ntext: "),
        ({"title": "A", "text": ""}, ["text"], ""),
        ({"tags": ["a"], "text": "b"}, ["tags"], "- a"),
        ({"ok": False, "n": 0}, ["ok"], "false"),
        ({"a": " two  blanks ", "b": "line\n\n"}, [], "a:  two  blanks \nb: line\n\n"),
        ({"long": ["word " * 200 + "end"], "n": 1}, [], "long:\n- " + "word " * 200 + "end\nn: 1"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [], "a\nb"),
        ({"content": [{"type": "text", "text": "a"}]}, ["content"], "- type: text\n  text: a"),
    ],
)
def test_object_becomes_lines_of_its_fields(value: dict[str, Any], rank_fields: list[str], text: str) -> None:
    """`key: value` lines in order, a single field without its key, nested values as block YAML of unlimited width."""
    assert object_text(value, rank_fields, field="documents[0]") == text


@pytest.mark.parametrize(
    ("value", "rank_fields"),
    [({}, []), ({"text": None}, []), ({"title": "A"}, ["text"]), ({"text": None}, ["text"])],
)
def test_object_without_a_field_to_rank_is_rejected(value: dict[str, Any], rank_fields: list[str]) -> None:
    """The error names the document."""
    with pytest.raises(InvalidRequest, match=r"documents\[7\]") as caught:
        object_text(value, rank_fields, field="documents[7]")
    assert caught.value.field == "documents[7]"


def test_too_many_rank_fields_are_rejected() -> None:
    """Each document would be looked through for all of them."""
    check_rank_fields(["a"] * MAX_RANK_FIELDS)
    with pytest.raises(InvalidRequest, match="rank_fields has 1,001 entries; the maximum is 1,000") as caught:
        check_rank_fields(["a"] * (MAX_RANK_FIELDS + 1))
    assert caught.value.field == "rank_fields"


def test_deeply_nested_object_is_rejected() -> None:
    """Otherwise it would exhaust the stack of the YAML writer."""
    value: Any = "leaf"
    for _ in range(900):
        value = [value]
    with pytest.raises(InvalidRequest, match="more than 24 levels"):
        object_text({"a": value, "b": 1}, [], field="documents[0]")


def test_large_number_is_written_as_in_json() -> None:
    """Also beyond 64 bits: the doubles of a Struct can be that large."""
    assert object_text({"a": 10**20, "b": 1}, [], field="documents[0]") == "a: 100000000000000000000\nb: 1"


@pytest.mark.parametrize(
    ("number", "scored"),
    [
        ("1.10", "1.1"),
        ("1e5", "100000.0"),
        ("2.0", "2.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e+19"),
    ],
)
def test_number_of_json_has_its_shortest_form(number: str, scored: str) -> None:
    """Integers beyond 64 bits are rounded. docs/documents.md and rerank.proto say so."""
    assert object_text(parse_object(f'{{"n": {number}}}', field="documents[0]"), (), field="documents[0]") == scored


def test_json_keeps_the_order_of_keys() -> None:
    """Unlike a Struct."""
    assert list(parse_object('{"z": 1, "a": 2}', field="documents[0]")) == ["z", "a"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "nan", b"\xff"])
def test_json_that_is_not_an_object_is_rejected(text: str | bytes) -> None:
    """Both invalid JSON and other values."""
    with pytest.raises(InvalidRequest, match=r"documents\[0\]"):
        parse_object(text, field="documents[0]")


def test_invisible_characters_are_escaped_in_nested_values_only() -> None:
    """As docs/documents.md says. That is the form of YAML, in which such documents were always scored."""
    text = "a\tb\ufeff\x7f\x9f😀"
    assert object_text({"a": text, "b": [text]}, [], field="documents[0]") == (
        f"a: {text}\nb:\n" + r'- "a\tb\uFEFF\x7F\x9F' + '😀"'
    )


@pytest.mark.parametrize(
    ("value", "rank_fields"),
    [
        ({"text": "plain"}, []),
        ({"title": "short", "body": "x" * 8_000}, ["title"]),
        ({"title": "short", "body": "x" * 8_000}, ["body", "title", "absent"]),
        ({f"column_{number:02}": number for number in range(50)}, []),
        ({"k" * 3_000: "", "b": ""}, []),
        ({"k" * 3_000: "", "b": None}, []),
        ({"tags": ["a", "b"] * 100, "n": 1.5}, []),
        ({"names": ["東京都庁舎の展望室", "Третьяковская галерея"] * 20}, []),
        ({"content": [{"type": "text", "text": "a"}] * 50}, []),
    ],
)
def test_length_is_that_of_the_text_without_rendering_it(value: dict[str, Any], rank_fields: list[str]) -> None:
    """Only ranked fields count, and their keys where they are in the text. Capacity and quotas are charged by it."""
    text = object_text(value, rank_fields, field="documents[0]")
    assert object_length(value, rank_fields).chars == pytest.approx(len(text), rel=0.3, abs=3)


@pytest.mark.parametrize(
    ("value", "rank_fields", "items"),
    [
        ({}, [], 0),
        ({"text": "x" * 100_000}, [], 1),
        ({"a": 1, "b": 2}, [], 2),
        ({"a": [1, 2, {"c": 3}], "b": {"d": []}}, [], 7),
        ({"a": [1, 2, {"c": 3}], "b": {"d": []}}, ["b", "absent"], 3),
        ({"a": {"b": "x" * 10_000}}, [], 12),
        ({str(number): [0] for number in range(100)}, [], 100),
        ({"a": {str(number): [0] for number in range(99)}}, [], 100),
        ({"a": {"b": [{"c": [0] * 1_000}]}}, [], 1_004),
    ],
)
def test_nested_values_are_counted(value: dict[str, Any], rank_fields: list[str], items: int) -> None:
    """Until they are 100. Long strings count as several, where they are written as JSON."""
    assert object_items(value, rank_fields, 100) == items


def test_length_counts_large_integers() -> None:
    """They have more than 64 bits. Values that are nested too deeply are rejected later, so they do not count."""
    assert object_length({"a": [2**64, "ü"]}, []).chars == len('[18446744073709551616, "ü"]')
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert object_length({"a": deep}, []).chars == 0
