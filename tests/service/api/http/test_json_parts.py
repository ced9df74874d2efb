"""Large JSON texts, parsed in parts: the same values and errors as in one part."""

import asyncio
import json
from collections.abc import Generator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerank_service.api.http import json_parts
from rerank_service.api.http.json_parts import dump_json, is_large, parse_in_parts, parse_text
from rerank_service.api.http.json_structure import find_commas
from rerank_service.errors import InvalidRequest
from rerank_service.surrogates import parse_json

SMALL_PARTS = 8
"""Bytes: most values have several parts."""
TEXTS = st.text(st.sampled_from('a1é🎉"\\/,:[]{} \n\u0001'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda values: st.lists(values, max_size=6) | st.dictionaries(TEXTS, values, max_size=6),
    max_leaves=30,
)


def _in_parts(text: bytes, part_bytes: int = SMALL_PARTS) -> Any:
    """Return the value, or the error."""
    try:
        return asyncio.run(parse_in_parts(text, part_bytes))
    except ValueError as error:
        return error


def _whole(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        return error


@example([[[[]]]], 1, True)
@example({"": {"a": {}}}, 1, True)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_value_is_that_of_one_part(value: Any, indent: int | None, ascii_only: bool) -> None:
    """With blanks or without, with escapes or without; the order of keys is kept."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    parsed = _in_parts(text)
    assert parsed == orjson.loads(text)
    assert json.dumps(parsed) == json.dumps(orjson.loads(text))


@given(VALUES, st.data())
def test_damaged_text_has_the_result_of_one_part(value: Any, data: st.DataObject) -> None:
    """Bytes are removed, replaced or inserted. What orjson rejects, the parts reject, and nothing else."""
    text = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(list(b'",[]{}:\\ 1a\x80'))).to_bytes()
    whole, parts = _whole(bytes(text)), _in_parts(bytes(text))
    assert isinstance(whole, ValueError) == isinstance(parts, ValueError), (bytes(text), whole, parts)
    if not isinstance(whole, ValueError):
        assert parts == whole


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": [1, 2, 3, 4, 5, 6, 7, nul]}',
        b'{"a": ["\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 2,\n 3, 4, nul, 6, 7]}',
        b'{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9',
        b'{"a": [1, 2, 3, 4, 5, 6, 7, 8, "9',
        b'{"a": ["\xe9\xe9\xe9\xe9 latin-1"], "b": 1}',
        b'{"aaaaaaaaaaaaaaa" 1, "b": 2}',
        b"[1, 2, 3, 4, 5, 6, 7, 8, 9] [",
        b"[1, 2, 3, 4, 5,, 6, 7, 8, 9]",
        b"[1, 2, 3, 4, 5, 6, 7, 8, 9,           ]",
        b"[1, 2, 3, 4, 5, 6, 7, 8, 9,           ",
        b'{"a": 1, "b":           }',
        b'{"a": 1,            , "b": 2}',
        b"1, 2, 3, 4, 5, 6, 7, 8, 9",
        b"]]]]]]]]]]]]",
        b'""""""""""""',
        b"             ",
        b"\xef\xbb\xbf[1, 2, 3, 4, 5]",
        b'[["aaaaaaaaaaa", "bbbbbbbbbb" "ccccccccccc"]]',
    ],
)
def test_message_of_an_error_is_that_of_one_part(text: bytes) -> None:
    """Line, column and character are those in the whole text."""
    assert str(_in_parts(text)) == str(_whole(text))


@pytest.mark.parametrize(
    "text",
    [
        rb'["\ud83d", "\ud83d\ude00", "aaaaaaaaaaaa", {"k": ["\ude00 bbbbbbbbbbbb", 1]}]',
        b'["\xed\xa0\xbd", "aaaaaaaaaaaaaa"]',
        b"[" + b" " * 50 + b"]",
        b"          []          ",
        b'{"a":          {}          }',
        b'{"a": {' + b" " * 50 + b'}, "b": 1}',
        b'{"a": 1, "a": [1, 2, 3, 4, 5, 6, 7], "b": 2, "a": 3, "c": 4}',
        b'{"":1,"":[1,2,3,4,5,6],"x":""}',
        rb'{"a \"quoted\\\" and very long key": [1, 2, 3, 4, 5, 6, 7, 8]}',
        rb'["\\", "\\\\\"", "' + b"\\\\" * 20 + b'", 1, 2, 3]',
        b" 12345678901234567890 ",
        b'"only a long string"',
    ],
)
def test_unusual_values(text: bytes) -> None:
    """Lone surrogates, blanks, repeated keys, escapes."""
    expected = _whole(text)
    assert not isinstance(expected, ValueError)
    assert _in_parts(text) == expected


@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
@pytest.mark.parametrize("depth", [400, 1_022, 1_024, 2_000])
def test_depth_is_that_of_one_part(depth: int, before: bytes, after: bytes) -> None:
    """Python allows fewer frames than orjson allows levels. A body that is too deep is no internal error."""
    text = before * depth + b"[1,2,3,4,5,6]" + after * depth
    whole, parts = _whole(text), _in_parts(text)
    assert isinstance(parts, ValueError) == isinstance(whole, ValueError)
    assert str(parts) == str(whole) if isinstance(parts, ValueError) else _are_equal(parts, whole)


def _are_equal(one: Any, other: Any) -> bool:
    """Compare without recursion, of which Python allows too little here."""
    while isinstance(one, list | dict) and len(one) == 1 == len(other) and type(one) is type(other):
        one, other = (next(iter(each.values() if isinstance(each, dict) else each)) for each in (one, other))
    return bool(one == other)


@pytest.mark.parametrize("text", [b"[%s]", b"{%s}", b"[[%s], 1]", b'{"a": {%s}, "b": 1}'])
def test_empty_container_of_about_the_size_of_a_part(text: bytes) -> None:
    """Blanks that alone are no longer than a part, and with the brackets are."""
    for blanks in range(SMALL_PARTS - 6, SMALL_PARTS + 6):
        blank_text = text % (b" " * blanks)
        assert _in_parts(blank_text) == _whole(blank_text)


@pytest.mark.parametrize("size", [500_000, 1_100_000])
@pytest.mark.parametrize("form", [b'"%s"', b'["%s"]', b'{"a": "%s"}', b'{"%s": 1}'])
async def test_repair_of_a_large_string_has_steps(form: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 6 MB with a million emoji in CESU-8 blocked the event loop for 5 s."""
    steps = 0

    async def counted(work: Generator[None, None, Any]) -> Any:
        nonlocal steps
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            steps += 1

    monkeypatch.setattr(json_parts, "in_steps", counted)
    pairs = size // 6
    text = form.replace(b"%s", b"\xed\xa0\xbd\xed\xb8\x80" * pairs)
    assert await parse_text(bytearray(text)) == orjson.loads(form.replace(b"%s", "😀".encode() * pairs))
    assert steps > pairs // 4_096


async def test_what_a_cancelled_request_has_parsed_is_freed_in_steps() -> None:
    """A deadline may end while the body is parsed."""
    parsing = asyncio.create_task(parse_in_parts(b"[" + b"[1]," * 100_000 + b"[1]]", 4_096))
    others = asyncio.all_tasks() - {parsing}
    while not parsing.done() and _parsed_lists(parsing) < 80_000:
        await asyncio.sleep(0)
    parsing.cancel()
    await asyncio.wait([parsing])
    turns = 0
    while asyncio.all_tasks() - others:
        turns += 1
        await asyncio.sleep(0)
    assert parsing.cancelled()
    assert turns > 80_000 // 250


def _parsed_lists(parsing: asyncio.Task[Any]) -> int:
    frame = parsing.get_coro().cr_frame  # type: ignore[union-attr]
    parser = frame.f_locals.get("parser") if frame else None
    return len(parser.containers[0]) if parser and parser.containers else 0


@pytest.mark.parametrize(
    "text", [b"[1,2,3,4,5,6,,7,8,9]", b"[1,2,3,4,5,6,7,8,9,]", b'{"a":1,"b":2,,"c":3,"d":4}', b"[,1]"]
)
def test_missing_members_are_errors(text: bytes) -> None:
    """Also where a part would be empty."""
    for size in range(1, 12):
        assert isinstance(_in_parts(text, size), ValueError)


@example(b'["\\')
@given(st.lists(st.sampled_from([b'"', b"\\", b",", b"[", b"]", b"a"]), max_size=40).map(b"".join))
def test_commas_do_not_depend_on_the_blocks(text: bytes) -> None:
    """A block may end in a string, or between a backslash and the escaped character."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rerank_service.api.http.json_structure._BLOCK_BYTES", 3)
        in_blocks = find_commas(text)
    whole = find_commas(text)
    assert [each.tolist() for each in in_blocks.by_depth] == [each.tolist() for each in whole.by_depth]


def test_commas_are_found_by_depth() -> None:
    """Those in strings are no separators."""
    commas = find_commas(rb'{"a,\",": [1, {"b": 2, "c": [3, 4]}], "d": 5}')
    assert [each.tolist() for each in commas.by_depth] == [[], [36], [12], [21], [30]]
    assert commas.between(0, 36, 1).tolist() == []
    assert commas.between(0, 37, 1).tolist() == [36]
    assert np.array_equal(commas.between(0, 99, 9), [])


def test_only_texts_that_take_long_are_parsed_in_parts() -> None:
    """Long strings are fast; many values are not."""
    assert not is_large(orjson.dumps({"documents": ["text, and more text. " * 20] * 200}))
    assert is_large(orjson.dumps({"documents": [{"a": 1, "b": 2}] * 10_000}))
    assert is_large(orjson.dumps(["a" * 1_100_000]))


def test_number_of_members_is_limited() -> None:
    """Before any is built. Nested ones may be more together."""
    with pytest.raises(InvalidRequest, match=r"more than 1,000,000 members"):
        asyncio.run(parse_in_parts(b'{"a": [' + b"1," * 1_000_000 + b"1]}"))
    assert asyncio.run(parse_in_parts(b"[" + b"1," * 999_999 + b"1]")) == [1] * 1_000_000


def test_long_lists_of_a_response_are_written_in_parts() -> None:
    """The bytes are those of one part."""
    results = [{"index": number, "document": {"text": "é"}} for number in range(1_001)]
    for content in (results, {"results": results, "id": "1", "data": []}, [], {}, results[:250]):
        assert dump_json(content) == orjson.dumps(content)
