"""Parse a large message in parts, so that the event loop is not blocked: protobuf holds the interpreter's lock.

A message is a sequence of fields, and parsing a part of them after another merges them: that is how protobuf defines
merging. So a large message is cut between its fields, such as its documents.
"""

from collections.abc import Generator
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from rerank_service.errors import InvalidRequest

In = TypeVar("In", bound=Message)

LARGE_BYTES = 256 * 1024
"""Size from which a message is parsed in parts."""
_PART_BYTES = 128 * 1024
_PART_FIELDS = 2_000
MAX_FIELDS = 1_000_000
"""Maximum number of fields of a large message, such as its documents. More take gigabytes, and too long to free."""


def parsed_in_parts(message_class: type[In], data: bytes, part_bytes: int = _PART_BYTES) -> Generator[None, None, In]:
    """Return the message.

    Raises:
        DecodeError: the bytes are no such message.
        InvalidRequest: it has more than 1,000,000 fields.
    """
    message = message_class()
    start = end = fields = before = depth = 0
    while start < len(data):
        while end < len(data) and (depth > 0 or (end - start < part_bytes and fields < _PART_FIELDS)):
            end, change = _end_of_field(data, end)
            depth += change
            fields += 1
            if depth > 0 and fields % _PART_FIELDS == 0:
                yield
        before += fields
        if before > MAX_FIELDS:
            raise InvalidRequest(
                f"The message has more than {MAX_FIELDS:,} fields: send fewer.", reason="too_many_members"
            )
        message.MergeFromString(data[start:end])
        start, fields, depth = end, 0, 0
        yield
    return message


def _end_of_field(data: bytes, at: int) -> tuple[int, int]:
    """Return the position after the field that starts at `at`, and the change of depth: 1 for the start of a group, -1
    for its end. No message of ours has groups, but an unknown field may be one."""
    tag, at = _varint(data, at)
    change = 0
    match tag & 7:  # the wire type
        case 0:
            _, at = _varint(data, at)
        case 1:
            at += 8
        case 2:
            length, at = _varint(data, at)
            at += length
        case 5:
            at += 4
        case 3:
            change = 1
        case 4:
            change = -1
        case _:
            raise DecodeError("Error parsing message")
    if at > len(data):
        raise DecodeError("Error parsing message")
    return at, change


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and the position after it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError("Error parsing message")
