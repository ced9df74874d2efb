"""Parse and write large JSON texts in parts, so that the event loop is never blocked for long.

orjson holds the interpreter's lock while it parses: 10,000 objects of 30 fields for 0.1 s, and millions of small lists
for seconds, since the garbage collector joins in. So a large text is cut at commas (json_structure.py) into parts of
64 KiB, and orjson parses a part at each turn of the loop. The result is that of `parse_json`.
"""

import asyncio
import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import orjson

from rerank_service.api.http.json_structure import Commas, find_commas
from rerank_service.errors import InvalidRequest
from rerank_service.long_work import in_background, in_steps
from rerank_service.surrogates import NotUtf8, parse_in_slices, parse_json

PART_BYTES = 64 * 1024
"""Size of a part. It takes 1 to 5 ms. Only a single string, number or key may be larger; its repair has steps, too."""
_LARGE_BYTES = 1024 * 1024
"""Size from which a text is parsed in parts even if it has few values."""
_MANY_VALUES = 10_000
"""Number of values from which a text is parsed in parts; orjson takes about 2 ms for them."""
_ITEMS_AT_ONCE = 250
"""Number of items of a list that are written at once."""
MAX_MEMBERS = 1_000_000
"""Maximum number of members of an array or an object in a large text: more take too long to free, in one go. A smaller
text has none with more."""
_BLANK = b" \t\r\n"
_NOT_BLANK = re.compile(rb"[^ \t\r\n]")
_KEY = re.compile(rb'[ \t\r\n]*+("(?:[^"\\]++|\\.)*+")[ \t\r\n]*+:', re.DOTALL)
_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}
_EXPECTED = {b"[": "JSON value", b"{": "string key"}
_Steps = Generator["_Steps | None", Any, Any]
"""Steps of parsing a value. They yield None for a pause, or the steps of a nested value, and receive that value."""


def is_large(text: bytes | bytearray) -> bool:
    """Return whether a JSON text should be parsed in parts."""
    if len(text) <= PART_BYTES or len(text) > _LARGE_BYTES:
        return len(text) > PART_BYTES
    return sum(text.count(character) for character in (b",", b"[", b"{")) > _MANY_VALUES


async def parse_text(text: bytearray) -> Any:
    """Return the value of a JSON text. A large one is parsed in parts, and so is one that needs a repair.

    Raises:
        ValueError: the text is not valid JSON, or not UTF-8.
        InvalidRequest: an array or an object has more than 1,000,000 members.
    """
    if len(text) <= PART_BYTES:
        return parse_json(text)
    if not is_large(text):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return await parse_in_parts(text)


async def parse_in_parts(text: bytes | bytearray, part_bytes: int = PART_BYTES) -> Any:
    """Return the value of a JSON text. Lone surrogates in it become U+FFFD.

    Raises:
        ValueError: the text is not valid JSON, or not UTF-8.
        InvalidRequest: an array or an object has more than 1,000,000 members.
    """
    commas = await asyncio.to_thread(find_commas, text)
    parser = _Parser(text, commas, part_bytes)
    try:
        return await in_steps(parser.whole())
    except BaseException:  # also at the deadline of the request
        in_background(_emptied(parser.containers))  # the frames of the error hold them
        raise


def _emptied(containers: list[list[Any] | dict[str, Any]]) -> Generator[None, None, None]:
    """Remove the values that were parsed before an error, in steps."""
    for container in containers:
        while container:
            for _ in range(min(_ITEMS_AT_ONCE, len(container))):
                container.pop() if isinstance(container, list) else container.popitem()
            yield


def dump_json(content: Any) -> bytes:
    """Return the JSON of a response. The items of long lists, such as results, are written in parts, between which
    other threads get the interpreter's lock."""
    if isinstance(content, dict):
        content = {name: _in_fragments(value) for name, value in content.items()}
    return orjson.dumps(_in_fragments(content))


def _in_fragments(value: Any) -> Any:
    if not isinstance(value, list) or len(value) <= _ITEMS_AT_ONCE:
        return value
    parts = (value[start : start + _ITEMS_AT_ONCE] for start in range(0, len(value), _ITEMS_AT_ONCE))
    return orjson.Fragment(b"[" + b",".join(orjson.dumps(part)[1:-1] for part in parts) + b"]")


class _Parser:
    def __init__(self, text: bytes | bytearray, commas: Commas, part_bytes: int) -> None:
        self._text = text
        self._commas = commas
        self._part_bytes = part_bytes
        self.containers: list[list[Any] | dict[str, Any]] = []
        """All containers that are parsed in parts, outer ones first."""

    def whole(self) -> Generator[None, None, Any]:
        """Parse the text.

        The generators of nested values wait on a list and not in `yield from`: a text may have more levels than
        Python allows frames.
        """
        if self._commas.too_deep is not None:
            raise self._invalid("depth limit exceeded", self._commas.too_deep + 1)
        waiting: list[_Steps] = [self._value(0, len(self._text), 0)]
        parsed: Any = None
        while waiting:
            try:
                nested = waiting[-1].send(parsed)
            except StopIteration as end:
                waiting.pop()
                parsed = end.value
            else:
                parsed = None
                if nested is not None:
                    waiting.append(nested)
                yield
        return parsed

    def _value(self, start: int, end: int, depth: int) -> _Steps:
        """Parse the value from `start` to `end`, in a container of that depth."""
        first = _NOT_BLANK.search(self._text, start, end)
        kind = self._text[first.start()] if first else None
        if depth == 0 and kind not in _CLOSING:
            # a single string or number, or invalid from its first bytes on
            return (yield from parse_in_slices(self._text))
        if first is None or kind not in _CLOSING or end - start <= self._part_bytes:
            (only,) = yield from self._members(start, end, b"[", b"]")
            return only
        last = self._last(start, end)
        closed = self._text[last] == _CLOSING[kind] and last > first.start()
        members = self._list if kind == ord("[") else self._dict
        parsed = yield members(first.end(), last if closed else end, depth + 1)
        if not closed:
            raise self._invalid("unexpected end of data", end)
        return parsed

    def _list(self, start: int, end: int, depth: int) -> _Steps:
        parsed: list[Any] = []
        self.containers.append(parsed)
        for part_start, part_end in self._parts(start, end, depth):
            if part_end - part_start > self._part_bytes:
                parsed.append((yield self._value(part_start, part_end, depth)))
            else:
                parsed += yield from self._members(part_start, part_end, b"[", b"]")
            yield None
        return parsed

    def _dict(self, start: int, end: int, depth: int) -> _Steps:
        parsed: dict[str, Any] = {}
        self.containers.append(parsed)
        for part_start, part_end in self._parts(start, end, depth):
            key = _KEY.match(self._text, part_start, part_end) if part_end - part_start > self._part_bytes else None
            if key is not None:
                (name,) = yield from self._members(*key.span(1), b"[", b"]")
                parsed[name] = yield self._value(key.end(), part_end, depth)
            else:
                parsed |= yield from self._members(part_start, part_end, b"{", b"}")
            yield None
        return parsed

    def _parts(self, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
        """Yield where the parts of a container start and end: several small members, or a single large one. An empty
        container has none."""
        if self._last(start, end) < start:
            return
        commas = self._commas.between(start, end, depth)
        if len(commas) >= MAX_MEMBERS:
            raise InvalidRequest(
                f"The body has an array or an object with more than {MAX_MEMBERS:,} members: send fewer.",
                reason="too_many_members",
            )
        while True:
            fits = int(np.searchsorted(commas, start + self._part_bytes, side="right"))
            if end - start <= self._part_bytes or not len(commas):
                yield start, end
                return
            cut = int(commas[max(fits, 1) - 1])
            yield start, cut
            start, commas = cut + 1, commas[max(fits, 1) :]

    def _members(self, start: int, end: int, opening: bytes, closing: bytes) -> Generator[None, None, Any]:
        """Parse the members of a container. There must be at least one."""
        try:
            parsed = yield from parse_in_slices(b"".join((opening, memoryview(self._text)[start:end], closing)))
        except orjson.JSONDecodeError as error:
            if error.msg.startswith("trailing comma") and self._text[end : end + 1] == b",":
                raise self._empty(end, end, opening) from error
            raise self._invalid(error.msg, self._byte(start, error.pos)) from error
        except NotUtf8 as error:
            raise NotUtf8(start + error.at - 1) from error
        if not parsed:
            raise self._empty(start, end, opening)
        return parsed

    def _empty(self, start: int, end: int, opening: bytes) -> ValueError:
        """Return the error for blanks from `start` to `end` in the place of a member."""
        after = self._text[end : end + 1]
        if not after:
            return self._invalid("unexpected end of data", end)
        if after != b"," and self._text[start - 1 : start] == b",":
            return self._invalid("trailing comma is not allowed", start - 1)
        return self._invalid(f"unexpected character, expected a {_EXPECTED[opening]}", end)

    def _byte(self, start: int, characters: int) -> int:
        """Return the position of an error, which orjson found so many characters after an opening bracket before
        `start`."""
        decoded = bytes(self._text[start : start + 4 * characters]).decode(errors="replace")
        return min(start + len(decoded[: max(characters - 1, 0)].encode()), len(self._text))

    def _last(self, start: int, end: int) -> int:
        """Return the position of the last byte that is not blank, or one before `start`."""
        if end > start and self._text[end - 1] not in _BLANK:
            return end - 1
        while end > start:
            begin = max(start, end - self._part_bytes)
            if piece := bytes(self._text[begin:end]).rstrip(_BLANK):
                return begin + len(piece) - 1
            end = begin
        return start - 1

    def _invalid(self, problem: str, at: int) -> ValueError:
        """Return the error for a byte of the text, with its position in the form of orjson."""
        before = np.frombuffer(self._text, np.uint8, at)
        starts = before & 0xC0 != 0x80  # of characters
        lines = np.flatnonzero(before == ord("\n"))
        column = int(np.count_nonzero(starts[int(lines[-1]) + 1 if len(lines) else 0 :])) + 1
        return ValueError(f"{problem}: line {len(lines) + 1} column {column} (char {np.count_nonzero(starts)})")
