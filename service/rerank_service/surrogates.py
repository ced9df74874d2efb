r"""Lone surrogates in text: each becomes U+FFFD, as in JavaScript's `toWellFormed()`.

JavaScript cuts strings between UTF-16 units. A cut through an emoji leaves half of it, a lone surrogate, which no UTF-8
text can have. JSON has it as an escape, such as `\ud83d` without `\ude00`. Some encoders write its three bytes, such as
ED A0 BD (CESU-8). Fast parsers reject both, so a text is repaired only if it could not be read. All other bytes that
are not UTF-8 stay errors: they show that a sender uses another encoding, whose text would be lost.
"""

import re
from collections.abc import Generator
from typing import Any

import orjson

_LONE = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_ESCAPE = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
"""The escape of a surrogate without the other half, in a text without escaped backslashes."""
_NUL = "\0"
"""A character that no JSON text contains."""
_SLICE = re.compile(
    rf"(?:{_HIGH}{_LOW}|\\u[0-9a-fA-F]{{4}}|\\.|[^\\\x80-\xff]{{1,64}}+".encode()
    + rb"|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|[\xc0-\xff][\x80-\xbf]{1,3}+|.){1,4096}+",
    re.DOTALL,
)
"""A part of a JSON text that is repaired in 1 to 7 ms. It ends between characters, escapes and pairs of surrogates."""


class NotUtf8(ValueError):
    """A text that is not UTF-8, from byte `at` on."""

    def __init__(self, at: int) -> None:
        super().__init__(f"the text is not UTF-8, at byte {at}")
        self.at = at


def decode_text(data: bytes | bytearray) -> str:
    """Return UTF-8 bytes as text. Surrogates in CESU-8 become characters if they are pairs, else U+FFFD.

    Raises:
        UnicodeDecodeError: other bytes are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _well_formed(data.decode(errors="surrogatepass"))


def parse_json(text: bytes | bytearray | str) -> Any:
    """Return the value of a JSON text. Lone surrogates in it become U+FFFD.

    Raises:
        JSONDecodeError: the text is not valid JSON.
        NotUtf8: the text is not UTF-8.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        repaired = repair_json(text)
        if repaired is None:
            raise
    return orjson.loads(repaired)


def parse_in_slices(text: bytes | bytearray) -> Generator[None, None, Any]:
    """Return the value of `parse_json`. A repair yields after each few milliseconds.

    Raises:
        JSONDecodeError: the text is not valid JSON.
        NotUtf8: the text is not UTF-8.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        repaired = yield from _repaired_in_slices(text)
        if repaired == text:
            raise
    return orjson.loads(repaired)


def _repaired_in_slices(text: bytes | bytearray) -> Generator[None, None, bytearray]:
    repaired = bytearray()
    for part in _SLICE.finditer(text):
        repaired += _without_lone_escapes(_decoded(part[0], part.start())).encode()
        yield
    return repaired


def repair_json(text: bytes | bytearray | str) -> str | None:
    """Return a JSON text with U+FFFD for its lone surrogates. Return None if it has none.

    Raises:
        NotUtf8: the text is not UTF-8.
    """
    decoded = text if isinstance(text, str) else _decoded(text)
    repaired = _without_lone_escapes(decoded)
    same = repaired == decoded if isinstance(text, str) else repaired.encode() == text
    return None if same else repaired


def _decoded(text: bytes | bytearray, start: int = 0) -> str:
    """Return the text of bytes that start at this byte of a whole."""
    try:
        return decode_text(text)
    except UnicodeDecodeError as error:
        raise NotUtf8(start + error.start) from error


def _without_lone_escapes(text: str) -> str:
    if _NUL in text:
        return text  # not JSON
    return _LONE_ESCAPE.sub(r"\\ufffd", text.replace(r"\\", _NUL)).replace(_NUL, r"\\")


def _well_formed(text: str) -> str:
    return _LONE.sub("\ufffd", text).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
