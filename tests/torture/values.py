"""Values and texts that break programs, and a writer of JSON that may be invalid."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

_RARELY = 0.02
"""Share of texts and lists that are large."""
_LARGE = (100_000, 1_000_000, 1_100_000, 10_000_000)


@dataclass(frozen=True, slots=True)
class Raw:
    """A piece of JSON that is written unchanged."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Members:
    """An object whose keys may repeat."""

    pairs: tuple[tuple[str, Any], ...]


NUMBERS = (
    *("0", "-0", "-1", "1", "2", "1.0", "2.5", "-0.0", "0.1", "1e2", "1E+2", "5e-324", "1e-999", "-1e-999"),
    *("1e308", "-1e308", "1e999", "-1e999", "2147483647", "2147483648", "-2147483648", "-2147483649"),
    *("4294967296", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "9" * 400, "0." + "3" * 400, "1" + "0" * 5000),
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "01", "+1", ".5", "1.", "0x10", "1_000", "1e", "--1", "1e5.5"),
)
"""Numbers as JSON has them, and as it does not."""
TEXTS = (
    *("", " ", "\0", "\x01\x1f\x7f\x80\x9f", "\t\r\n", "\u2028\u2029", "\ufeff", "\u200b\u200c\u200d\u2060", "\u00ad"),
    *(
        "\u202e\u2066x\u2069",
        "a" + "\u0301" * 500,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0010ffff",
        "\uffff\ufffe",
    ),
    *("true", "false", "null", "0", "-1", "1e999", "[]", "{}", "default", "small", "Right", "enabled", "END", "raw"),
    *("[CLS] [SEP] [PAD] [UNK] [MASK]", "</s><s>", "%s%n%d", "{0}{x}", "${jndi:ldap://x}", "'; DROP TABLE x; --"),
    *("../../../../etc/passwd", "/etc/passwd", "C:\\x", "file:///etc/passwd", "<script>alert(1)</script>", "\\u0041"),
    *("x\r\nInjected: y", "a" * 39, "a" * 41, "1 " * 40, "9" * 500, "\u4e00" * 300, "\u1e9e\u0130\ufb01", "\u0e33"),
)
"""Texts, each of which is valid in JSON."""
RAW_TEXTS = (
    *(
        rb'"\ud83d"',
        rb'"\ude00"',
        rb'"\ude00\ud83d"',
        rb'"\ud83d\u0041"',
        rb'"\\ud83d"',
        b'"\xed\xa0\xbd"',
        b'"\xff\xfe"',
    ),
    *(b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"a\nb"', b'"\x00"', rb'"\x41"', rb'"\u12"', b"'x'", b'"x'),
    *(b"True", b"None", b"undefined", b"nul", b"tru", b"", b" ", b",", b":", b"]", b"}", b"//x\n1", b"/*x*/1", b"1 2"),
)
"""Pieces that are no valid JSON, or hold lone surrogates."""


def text(rng: Random) -> str:
    """Return a text. A few are large."""
    chosen = rng.random()
    if chosen < _RARELY:
        return rng.choice(("a", "1 ", "\u4e00", "x" * 30 + " ", "\0", '"', "\\")) * (rng.choice(_LARGE[:3]) // 30)
    if chosen < _RARELY * 1.1:
        return "1 " * (_LARGE[3] // 2)
    if chosen < 0.5:
        return rng.choice(TEXTS)
    return " ".join(words(rng))


def words(rng: Random) -> Iterator[str]:
    """Yield words that the small model knows, with a few others among them."""
    for _ in range(rng.randrange(0, 40)):
        yield str(rng.randrange(100)) if rng.random() < 0.9 else rng.choice(TEXTS)


def deep(rng: Random) -> Raw:
    """Return lists or objects in each other."""
    levels = rng.choice((10, 23, 24, 25, 100, 254, 255, 500, 900, 1000, 1015, 1023, 1024, 1025, 5000, 100_000))
    before, inner, after = rng.choice(
        (
            (b"[", b"", b"]"),
            (b"[[],", b"1", b"]"),
            (b'{"a":', b"1", b"}"),
            (b'{"text":', b'"1"', b"}"),
            (b"[", b"1", b""),
        )
    )
    return Raw(before * levels + inner + after * levels)


def large_list(rng: Random) -> Raw:
    """Return a list or an object with many members."""
    count = rng.choice((1000, 10_000, 10_001, 100_000))
    item = rng.choice((b"null", b"[]", b"{}", b'"1"', b"1", b'""', b'{"a":[]}'))
    if rng.random() < 0.8:
        return Raw(b"[" + b",".join([item] * count) + b"]")
    return Raw(b"{" + b",".join(b'"%d":%s' % (number, item) for number in range(count)) + b"}")


def media(rng: Random) -> Any:
    """Return an image in one of the forms of clients, with any value in it."""
    kind = rng.choice(("image", "image_url", "video", "audio", "text"))
    part = {"type": rng.choice((kind, deep(rng), scalar(rng))), kind: scalar(rng)}
    return rng.choice(({"content": [part]}, {kind: scalar(rng)}, {"text": "1", kind: deep(rng)}, {"content": part}))


def scalar(rng: Random) -> Any:
    """Return null, a boolean, a number or a text."""
    return rng.choice(
        (
            lambda: rng.choice((None, True, False)),
            lambda: Raw(rng.choice(NUMBERS).encode()),
            lambda: text(rng),
            lambda: Raw(rng.choice(RAW_TEXTS)),
        )
    )()


_OF_ANY: tuple[tuple[int, Callable[[Random], Any]], ...] = (
    (60, scalar),
    (8, deep),
    (2, large_list),
    (5, media),
    (5, lambda rng: [scalar(rng) for _ in range(rng.randrange(4))]),
    (5, lambda rng: {text(rng)[:100]: scalar(rng) for _ in range(rng.randrange(4))}),
    (5, lambda rng: {"text": value(rng)}),
    (3, lambda rng: [value(rng)]),
    (2, lambda rng: Members((("a", scalar(rng)), ("a", scalar(rng))))),
)


def value(rng: Random) -> Any:
    """Return any value."""
    weights = [weight for weight, _ in _OF_ANY]
    ((_, make),) = rng.choices(_OF_ANY, weights)
    return make(rng)


def dump(content: Any) -> bytes:
    """Return a value as JSON."""
    match content:
        case Raw():
            return content.text
        case Members():
            return b"{" + b",".join(_member(key, part) for key, part in content.pairs) + b"}"
        case dict():
            return b"{" + b",".join(_member(key, part) for key, part in content.items()) + b"}"
        case list():
            return b"[" + b",".join(map(dump, content)) + b"]"
        case _:
            return json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass")


def _member(key: str, part: Any) -> bytes:
    return dump(key) + b":" + dump(part)
