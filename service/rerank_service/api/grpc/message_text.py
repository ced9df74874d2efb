"""Lone surrogates in the strings of a protobuf message: each becomes U+FFFD.

protobufjs, which gRPC for Node uses, writes a lone surrogate as its three bytes, such as ED A0 BD. The parser of
protobuf rejects the whole message. U+FFFD has three bytes, too, so no length in the message changes.
"""

from array import array
from bisect import bisect_left
from collections.abc import Generator

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor

_SURROGATE_BYTES = 3
_REPLACEMENT = "\ufffd".encode()
_STEP_BYTES = 256 * 1024
_STEP_FIELDS = 1_000
"""Work of one step: about a millisecond each."""
_MAX_FIELDS = 500_000
"""Maximum number of fields that are visited: about half a second."""
_MAX_DEPTH = 100
"""Maximum depth of messages in messages, as in the parser of protobuf."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


class _Unreadable(Exception):
    """The bytes are not a message, or it is too large to repair."""


def repaired_in_steps(data: bytes, descriptor: Descriptor) -> Generator[None, None, bytes | None]:
    """Return a message with U+FFFD for each surrogate in its strings. Return None if there is none to repair."""
    surrogates = yield from _surrogates(data)
    if not surrogates:
        return None
    repair = _Repair(data, surrogates)
    try:
        yield from repair.message(descriptor)
    except (_Unreadable, IndexError):
        return None
    return bytes(repair.data)


def _surrogates(data: bytes) -> Generator[None, None, "array[int]"]:
    """Return the positions of all bytes that look like a surrogate, in order."""
    positions = array("I")
    whole = np.frombuffer(data, np.uint8)
    for start in range(0, len(data), _STEP_BYTES):
        part = whole[start : start + _STEP_BYTES + _SURROGATE_BYTES - 1]
        first, second, third = part[:-2], part[1:-1], part[2:]
        found = np.flatnonzero(
            (first == 0xED) & (second >= 0xA0) & (second <= 0xBF) & (third >= 0x80) & (third <= 0xBF)
        )
        positions.frombytes((found + start).astype(np.uint32).tobytes())
        yield
    return positions


class _Repair:
    """Visits the fields of a message, and replaces surrogates in its strings in place.

    Only fields with a surrogate are visited. Their positions are known, so no byte is searched at each level again.
    """

    def __init__(self, data: bytes, surrogates: "array[int]") -> None:
        self.data = bytearray(data)
        self._surrogates = surrogates
        self._fields = 0
        self._waiting: list[tuple[Descriptor, int, int, int]] = []
        """Messages to visit: their start, their end and their depth."""

    def message(self, descriptor: Descriptor) -> Generator[None, None, None]:
        """Repair the strings of the whole message."""
        self._waiting.append((descriptor, 0, len(self.data), 0))
        while self._waiting:
            yield from self._visit(*self._waiting.pop())

    def _visit(self, descriptor: Descriptor, position: int, end: int, depth: int) -> Generator[None, None, None]:
        if depth > _MAX_DEPTH:
            raise _Unreadable
        while position < end:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise _Unreadable
            if self._fields % _STEP_FIELDS == 0:
                yield
            tag, position = self._varint(position)
            kind = tag & 7
            if kind == _VARINT:
                _, position = self._varint(position)
            elif kind == _DELIMITED:
                length, position = self._varint(position)
                if length > end - position:  # no position is so large, or the field ends after its message
                    raise _Unreadable
                yield from self._delimited(
                    descriptor.fields_by_number.get(tag >> 3), position, position + length, depth
                )
                position += length
            elif kind in _FIXED_BYTES:
                position += _FIXED_BYTES[kind]
            else:
                raise _Unreadable

    def _delimited(
        self, field: FieldDescriptor | None, start: int, end: int, depth: int
    ) -> Generator[None, None, None]:
        first = bisect_left(self._surrogates, start)
        last = bisect_left(self._surrogates, end - _SURROGATE_BYTES + 1, lo=first)
        if field is None or first == last:
            return
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from self._replaced(first, last)
        elif field.message_type is not None:
            self._waiting.append((field.message_type, start, end, depth + 1))

    def _replaced(self, first: int, last: int) -> Generator[None, None, None]:
        """Replace the surrogates from one to before another."""
        data = np.frombuffer(self.data, np.uint8)
        surrogates = np.frombuffer(self._surrogates, np.uint32)
        for start in range(first, last, _STEP_BYTES):
            positions = surrogates[start : min(start + _STEP_BYTES, last)]
            for offset, byte in enumerate(_REPLACEMENT):
                data[positions + offset] = byte
            if start + _STEP_BYTES < last:
                yield

    def _varint(self, position: int) -> tuple[int, int]:
        """Return a number, and the position after it."""
        value = shift = 0
        while True:
            byte = self.data[position]
            value |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                return value, position
            shift += 7
            if shift >= 70:
                raise _Unreadable
