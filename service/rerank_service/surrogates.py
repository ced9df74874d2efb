r"""Lone surrogates in text: each becomes U+FFFD, as in JavaScript's `toWellFormed()`.

JavaScript cuts strings between UTF-16 units. A cut through an emoji leaves half of it, a lone surrogate, which no UTF-8
text can have. JSON has it as an escape, such as `\ud83d` without `\ude00`. Some encoders write its three bytes, such as
ED A0 BD (CESU-8). Fast parsers reject both, so a text is repaired only if it could not be read. All other bytes that
are not UTF-8 stay errors: they show that a sender uses another encoding, whose text would be lost.
"""

import re
from typing import Any

import orjson

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_ESCAPE = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}")
"""The escape of a surrogate without the other half, in a text without escaped backslashes."""
_NUL = "\0"
"""A character that no JSON text contains."""


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
        ValueError: the text is not valid JSON, or not UTF-8.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        repaired = repair_json(text)
        if repaired is None:
            raise
    return orjson.loads(repaired)


def repair_json(text: bytes | bytearray | str) -> str | None:
    """Return a JSON text with U+FFFD for its lone surrogates. Return None if it has none.

    Raises:
        ValueError: the text is not UTF-8.
    """
    try:
        decoded = text if isinstance(text, str) else decode_text(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"the text is not UTF-8, at byte {error.start}") from error
    repaired = _without_lone_escapes(decoded)
    same = repaired == decoded if isinstance(text, str) else repaired.encode() == text
    return None if same else repaired


def _without_lone_escapes(text: str) -> str:
    if _NUL in text:
        return text  # not JSON
    return _LONE_ESCAPE.sub(r"\\ufffd", text.replace(r"\\", _NUL)).replace(_NUL, r"\\")


def _well_formed(text: str) -> str:
    return _LONE.sub("\ufffd", _PAIR.sub(_character, text))


def _character(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
