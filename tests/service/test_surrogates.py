"""Lone surrogates become U+FFFD, and all other text stays."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.surrogates import NotUtf8, decode_text, parse_in_slices, parse_json, repair_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'["Read the release notes first \ud83d"]', ["Read the release notes first \ufffd"]),
        (r'["\ud83d\ude00"]', ["😀"]),
        (r'["\uD83D\uDE00 \uD83D"]', ["😀 \ufffd"]),
        (r'["\ude00 alone"]', ["\ufffd alone"]),
        (r'["\ude00\ud83d"]', ["\ufffd\ufffd"]),
        (r'["\ud83d\ud83d\ude00"]', ["\ufffd😀"]),
        (r'["\ud83d\ude00\ude00"]', ["😀\ufffd"]),
        (r'["\ud83d\u0041\n\ud83d"]', ["\ufffdA\n\ufffd"]),
        (r'["\\ud83d", "\ud83d"]', [r"\ud83d", "\ufffd"]),
        (r'["\\\ud83d", "\\\\ud83d"]', ["\\\ufffd", r"\\ud83d"]),
        (r'{"\ud83d": {"\ud83d": ["\ud83d", 1]}}', {"\ufffd": {"\ufffd": ["\ufffd", 1]}}),
        (b'["caf\xc3\xa9 \xed\xa0\xbd"]', ["café \ufffd"]),
        (b'["\xed\xa0\xbd\xed\xb8\x80 \xed\xb8\x80"]', ["😀 \ufffd"]),
        (b'["\xed\xa0\xbd \\ud83d"]', ["\ufffd \ufffd"]),
    ],
)
def test_lone_surrogate_becomes_the_replacement_character(text: str | bytes, value: object) -> None:
    """Pairs and escaped backslashes stay. Escapes and the bytes of CESU-8 are repaired, in keys too."""
    sent = text.encode() if isinstance(text, str) else text
    assert parse_json(sent) == value
    assert parse_json(bytearray(sent)) == value
    if isinstance(text, str):
        assert parse_json(text) == value


@pytest.mark.parametrize("text", [r'["\ud83d"', r'["\ud83"]', r'["\ud83d", "\x"]', b"", b"{", r"\ud83d", "[nan]"])
def test_other_faults_stay_errors(text: str | bytes) -> None:
    """A repair does not hide them."""
    with pytest.raises(orjson.JSONDecodeError):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        (b'["\xe4\xb8"]', 2),  # the beginning of a character of three bytes
        (b'["\xf0\x9f\x98"]', 2),  # of four
        (b'["caf\xe9"]', 5),  # Latin-1
        (b'["\xc0\x80"]', 2),  # zero in modified UTF-8
        (b'["\xed\xa0"]', 2),  # the beginning of a surrogate
    ],
)
def test_other_bytes_that_are_not_utf8_are_an_error_with_their_position(text: bytes, byte: int) -> None:
    """They show another encoding: with U+FFFD, a whole text could be lost in silence."""
    with pytest.raises(ValueError, match=f"the text is not UTF-8, at byte {byte}"):
        parse_json(text)


def test_sound_text_needs_no_repair() -> None:
    """Nothing is parsed twice."""
    assert repair_json(r'["\ud83d\ude00 \\ud83d é"]'.encode()) is None
    assert repair_json(r'["\ud83d\ude00"]') is None


_UNITS = st.one_of(st.sampled_from([0xD83D, 0xDE00, 0x5C, 0x75, 0x22, 0x41]), st.integers(0, 0xFFFF))


def _replaced(units: list[int]) -> str:
    """Return the text of UTF-16 units as JavaScript's toWellFormed(), unit by unit."""
    out, position = [], 0
    while position < len(units):
        unit, after = units[position], units[position + 1] if position + 1 < len(units) else 0
        if 0xD800 <= unit < 0xDC00 and 0xDC00 <= after < 0xE000:
            out.append(chr(0x10000 + ((unit - 0xD800) << 10) + after - 0xDC00))
            position += 1
        else:
            out.append("\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit))
        position += 1
    return "".join(out)


@given(st.lists(_UNITS))
def test_result_is_that_of_to_well_formed(units: list[int]) -> None:
    """For escapes, as `JSON.stringify` writes them, and for CESU-8."""
    text = "".join(map(chr, units))
    assert parse_json(json.dumps([text]).encode()) == [_replaced(units)]
    assert decode_text(text.encode("utf-8", "surrogatepass")) == _replaced(units)


_PARTS = ["\\\\", r"\ud83d", r"\uDE00", "ud83d", "ude00", r"\n", r"\u0041", "a", "é"]


@given(st.lists(st.sampled_from(_PARTS)).map("".join))
def test_escaped_backslash_starts_no_escape(text: str) -> None:
    """The parser of the standard library keeps lone surrogates, and decides what an escape is."""
    sent = f'["{text}"]'
    assert parse_json(sent.encode()) == [_replaced(list(map(ord, json.loads(sent)[0])))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\ud83d\ud83d\ude00\ude00"', r'"\ufffd\ud83d\ude00\ufffd"'),
        (r'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (r'"\ud83d\\\ude00"', r'"\ufffd\\\ufffd"'),
        ('"\\ud83d\0"', '"\\ud83d\0"'),
    ],
)
def test_only_halves_are_replaced(text: str, expected: str) -> None:
    """An escaped backslash escapes nothing, and separates two halves. NUL makes the text no JSON."""
    assert (repair_json(text) or text) == expected


def _in_slices(text: bytes) -> tuple[Any, int]:
    """Return the value, and how often the work paused."""
    work = parse_in_slices(text)
    pauses = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1


@given(st.lists(st.sampled_from([*_PARTS, "\ud83d", "\ude00", "日"])).map("".join), st.integers(4_080, 4_096))
def test_slices_do_not_cut_characters_escapes_or_pairs(text: str, before: int) -> None:
    """The first slice ends somewhere in the text."""
    sent = f'["{"é" * before}{text}"]'.encode("utf-8", "surrogatepass")
    assert _in_slices(sent)[0] == parse_json(sent)


@pytest.mark.parametrize("half", [b"\xed\xa0\xbd\xed\xb8\x80", rb"\ud83d", b"\xed\xa0\xbd"])
def test_repair_pauses_often(half: bytes) -> None:
    """Each step has at most 4,096 of them. In one step, a million pairs blocked the event loop for 5 s."""
    sent = b'"' + half * 100_000 + b'"'
    value, pauses = _in_slices(sent)
    assert value == parse_json(sent)
    assert pauses > 100_000 // 4_096


def test_sound_text_does_not_pause() -> None:
    """Nothing of it is repaired."""
    assert _in_slices(b'"' + "é😀".encode() * 100_000 + b'"') == ("é😀" * 100_000, 0)


def test_position_in_a_later_slice_is_that_of_the_whole() -> None:
    """As without slices."""
    with pytest.raises(NotUtf8, match="the text is not UTF-8, at byte 20001"):
        _in_slices(b'"' + "é".encode() * 10_000 + b'\xe9"')
