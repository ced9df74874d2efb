"""Changes of a JSON object and of its text, or of any bytes."""

from collections.abc import Callable
from random import Random
from typing import Any

from torture.values import Members, Raw, dump, text, value

Place = tuple[Any, Any]
"""A container, and the key or the index of a value in it."""


def mutated(rng: Random, body: dict[str, Any]) -> bytes:
    """Return the text of a body with one to three changes of its values."""
    content: Any = body
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(content)
        if not places:
            break
        rng.choice(_CHANGES)(rng, *rng.choice(places))
    if rng.random() < 0.04:
        content = rng.choice((lambda: [content], lambda: value(rng), lambda: _with_repeated_keys(rng, body)))()
    return dump(content)


def _places(content: Any) -> list[Place]:
    found: list[Place] = []
    waiting = [content]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def _replace(rng: Random, container: Any, key: Any) -> None:
    container[key] = value(rng)


def _remove(_rng: Random, container: Any, key: Any) -> None:
    del container[key]


def _wrap(rng: Random, container: Any, key: Any) -> None:
    old = container[key]
    container[key] = rng.choice(([old], {"text": old}, {"a": old, "b": old}, [[old]], [old, old]))


def _change_type(rng: Random, container: Any, key: Any) -> None:
    old = container[key]
    container[key] = rng.choice((str(old), bool(old), 1, 1.5, [], {}, None, ""))


def _rename(rng: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        names = (key.upper(), key + "s", key[:-1], key.replace("_", ""), f" {key}", text(rng)[:2000], key + "\0", "")
        container[rng.choice(names)] = container.pop(key)
    else:
        container.append(container[key])


def _add(rng: Random, container: Any, _key: Any) -> None:
    if isinstance(container, dict):
        known = ("model", "top_n", "top_k", "query", "documents", "texts", "input", "passages", "sources", "queries")
        other = ("rank_fields", "return_documents", "parameters", "highlights", "score_type", "property", "inputs")
        container[rng.choice((*known, *other, text(rng)[:2000]))] = value(rng)
    else:
        container.insert(rng.randrange(len(container) + 1), value(rng))


def _repeat(rng: Random, container: Any, key: Any) -> None:
    old = container[key]
    if isinstance(old, list):
        count = rng.choice((2, 50, 1000, 10_001))
        container[key] = Raw(b"[" + b",".join([*map(dump, old)] * max(1, count // max(1, len(old)))) + b"]")
    elif isinstance(old, dict):
        container[key] = _with_repeated_keys(rng, old)
    else:
        container[key] = f"{old} " * rng.choice((2, 10, 100))


def _empty(rng: Random, container: Any, key: Any) -> None:
    container[key] = rng.choice(([], {}, "", None, [[]], [{}], [""], [None]))


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    *(_replace,) * 5,
    _remove,
    _wrap,
    _change_type,
    _rename,
    *(_add,) * 2,
    _repeat,
    _empty,
)


def _with_repeated_keys(rng: Random, body: dict[str, Any]) -> Members:
    pairs = list(body.items())
    for name, old in list(body.items()):
        if rng.random() < 0.5:
            pairs.insert(rng.randrange(len(pairs) + 1), (name, rng.choice((old, value(rng)))))
    return Members(tuple(pairs))


def damaged(rng: Random, data: bytes) -> bytes:
    """Return a text with damage: most are no JSON any more, or in another encoding."""
    return rng.choice(_DAMAGES)(rng, data)


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 5, 50))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    pieces = (b"\0", b"\xff", b"\xed\xa0\xbd", b"\\", b'"', b"[", b"{", b"}", b"]", b",", b"\xef\xbb\xbf", b"\n", b"//")
    return data[:at] + rng.choice(pieces) * rng.choice((1, 1, 2, 1000)) + data[at:]


def _recode(rng: Random, data: bytes) -> bytes:
    decoded = data.decode(errors="replace")
    return decoded.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037")), "replace")


def _surround(rng: Random, data: bytes) -> bytes:
    before, after = rng.choice(
        (
            (b"", data),
            (b"", b"\0"),
            (b"x=", b""),
            (b" " * 100_000, b""),
            (b"", b" " * 100_000),
            (b"(", b")"),
            (b"[", b""),
        )
    )
    return before + data + after


def _other(rng: Random, _data: bytes) -> bytes:
    junk = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
    return rng.choice((b"", b" ", b"null", b"[]", b"{}", b'"x"', b"1", b"\0" * 1000, b"<a/>", b"a=1&b=2", junk))


_DAMAGES: tuple[Callable[[Random, bytes], bytes], ...] = (_cut, _flip, _flip, _insert, _recode, _surround, _other)
