"""Lone surrogates in the strings of a protobuf message: each becomes U+FFFD.

protobufjs, which gRPC for Node uses, writes a lone surrogate as its three bytes, such as ED A0 BD. The parser of
protobuf rejects the whole message. U+FFFD has three bytes, too, so no length in the message changes.
"""

import re

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_REPLACEMENT = "\ufffd".encode()
_MAX_FIELDS = 500_000
"""Maximum number of fields that are visited: about half a second."""
_MAX_DEPTH = 100
"""Maximum depth of messages in messages, as in the parser of protobuf."""
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


class _Unreadable(Exception):
    """The bytes are not a message, or it is too large to repair."""


def repair_message(data: bytes, descriptor: Descriptor) -> bytes | None:
    """Return a message with U+FFFD for each surrogate in its strings. Return None if there is none to repair."""
    if not _SURROGATE.search(data):
        return None
    repair = _Repair(data)
    try:
        repair.message(descriptor, 0, len(data), 0)
    except (_Unreadable, IndexError):
        return None
    return bytes(repair.data)


class _Repair:
    """Visits the fields of a message, and replaces surrogates in its strings in place."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._fields = 0

    def message(self, descriptor: Descriptor, start: int, end: int, depth: int) -> None:
        """Repair the strings of the message between two positions."""
        if depth > _MAX_DEPTH:
            raise _Unreadable
        position = start
        while position < end:
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise _Unreadable
            tag, position = self._varint(position)
            kind = tag & 7
            if kind == _VARINT:
                _, position = self._varint(position)
            elif kind == _DELIMITED:
                length, position = self._varint(position)
                if length > end - position:  # no position is so large, or the field ends after its message
                    raise _Unreadable
                self._delimited(descriptor.fields_by_number.get(tag >> 3), position, position + length, depth)
                position += length
            elif kind in _FIXED_BYTES:
                position += _FIXED_BYTES[kind]
            else:
                raise _Unreadable

    def _delimited(self, field: FieldDescriptor | None, start: int, end: int, depth: int) -> None:
        if field is None or not _SURROGATE.search(self.data, start, end):
            return
        if field.type == FieldDescriptor.TYPE_STRING:
            self.data[start:end] = _SURROGATE.sub(_REPLACEMENT, self.data[start:end])
        elif field.message_type is not None:
            self.message(field.message_type, start, end, depth + 1)

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
