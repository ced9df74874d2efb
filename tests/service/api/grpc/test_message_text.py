"""Repair of messages: only the strings change."""

import pytest
from google.protobuf import struct_pb2

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc import message_text
from rerank_service.api.grpc.message_text import repair_message

_SURROGATE = b"\xed\xa0\xbd"
_DESCRIPTOR = pb.RerankRequest.DESCRIPTOR


def _damaged(message: pb.RerankRequest) -> bytes:
    return message.SerializeToString().replace("\ufffd".encode(), _SURROGATE)


def _number_with_surrogate() -> float:
    """Return a number whose bytes contain those of a surrogate."""
    return struct_pb2.Value.FromString(b"\x11\x00\x00\x00" + _SURROGATE + b"\xe5\x3f").number_value


def test_strings_are_repaired_and_numbers_are_not() -> None:
    """In nested objects, with keys and values, and beside fields of every wire type."""
    number = _number_with_surrogate()
    document = pb.Document(id="\ufffd")
    document.object.update({"a\ufffd": "b\ufffd", "n": number, "deep": {"er": ["\ufffd", number, True]}})
    message = pb.RerankRequest(
        query="é \ufffd\ufffd",
        documents=[document],
        min_score=number,
        priority=-(2**31),
        top_n=5,
        rank_fields=["\ufffd"],
    )
    damaged = _damaged(message)
    assert _SURROGATE in message.SerializeToString()  # that of the number
    repaired = repair_message(damaged, _DESCRIPTOR)
    assert repaired is not None
    assert pb.RerankRequest.FromString(repaired) == message


def test_bytes_that_are_no_message_are_not_repaired() -> None:
    """Cut messages, unknown wire types, numbers without an end, and no surrogate at all."""
    damaged = _damaged(pb.RerankRequest(query="\ufffd"))
    for data in (damaged + b"\x0f", damaged + b"\x80", b"\x80" * 20 + _SURROGATE):
        assert repair_message(data, _DESCRIPTOR) is None
    assert repair_message(b"\x0a\x01\xff", _DESCRIPTOR) is None


def _length(data: bytes) -> bytes:
    """Return the length as a varint of two bytes."""
    return bytes([len(data) & 0x7F | 0x80, len(data) >> 7])


def test_depth_and_number_of_fields_are_limited() -> None:
    """The repair of a hostile message ends soon."""
    deep = b"\x1a" + _length(_SURROGATE) + _SURROGATE  # string_value of a Value
    for _ in range(message_text._MAX_DEPTH):
        listed = b"\x0a" + _length(deep) + deep  # values of a ListValue
        deep = b"\x32" + _length(listed) + listed  # list_value of a Value
    assert repair_message(deep, struct_pb2.Value.DESCRIPTOR) is None
    many = b"\x30\x00" * (message_text._MAX_FIELDS + 1) + _damaged(pb.RerankRequest(query="\ufffd"))
    assert repair_message(many, _DESCRIPTOR) is None


@pytest.mark.parametrize("length", [1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_field_that_is_longer_than_its_message_is_not_repaired(length: int) -> None:
    """Also of a length that is no position in any text of Python."""
    varint = bytes(length >> shift & 0x7F | 0x80 for shift in range(0, 63, 7)) + bytes([length >> 63])
    damaged = _damaged(pb.RerankRequest(query="\ufffd"))
    assert repair_message(damaged + b"\x0a" + varint, _DESCRIPTOR) is None
    document = b"\x0a\x03" + _SURROGATE + b"\x0a" + varint
    assert repair_message(b"\x1a" + bytes([len(document)]) + document, _DESCRIPTOR) is None
