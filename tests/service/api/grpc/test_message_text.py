"""Repair of messages: only the strings change."""

import pytest
from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc import message_text
from rerank_service.api.grpc.message_text import repaired_in_steps

_SURROGATE = b"\xed\xa0\xbd"
_DESCRIPTOR = pb.RerankRequest.DESCRIPTOR


def _repaired(data: bytes, descriptor: Descriptor) -> bytes | None:
    return _with_steps(data, descriptor)[0]


def _with_steps(data: bytes, descriptor: Descriptor) -> tuple[bytes | None, int]:
    """Return the repaired message, and the number of steps."""
    work, steps = repaired_in_steps(data, descriptor), 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, steps
        steps += 1


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
    repaired = _repaired(damaged, _DESCRIPTOR)
    assert repaired is not None
    assert pb.RerankRequest.FromString(repaired) == message


def test_bytes_that_are_no_message_are_not_repaired() -> None:
    """Cut messages, unknown wire types, numbers without an end, and no surrogate at all."""
    damaged = _damaged(pb.RerankRequest(query="\ufffd"))
    for data in (damaged + b"\x0f", damaged + b"\x80", b"\x80" * 20 + _SURROGATE):
        assert _repaired(data, _DESCRIPTOR) is None
    assert _repaired(b"\x0a\x01\xff", _DESCRIPTOR) is None


def _length(data: bytes) -> bytes:
    """Return the length as a varint of two bytes."""
    return bytes([len(data) & 0x7F | 0x80, len(data) >> 7])


def test_depth_and_number_of_fields_are_limited() -> None:
    """The repair of a hostile message ends soon."""
    deep = b"\x1a" + _length(_SURROGATE) + _SURROGATE  # string_value of a Value
    for _ in range(message_text._MAX_DEPTH):
        listed = b"\x0a" + _length(deep) + deep  # values of a ListValue
        deep = b"\x32" + _length(listed) + listed  # list_value of a Value
    assert _repaired(deep, struct_pb2.Value.DESCRIPTOR) is None
    many = b"\x30\x00" * (message_text._MAX_FIELDS + 1) + _damaged(pb.RerankRequest(query="\ufffd"))
    assert _repaired(many, _DESCRIPTOR) is None


@pytest.mark.parametrize("length", [1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_field_that_is_longer_than_its_message_is_not_repaired(length: int) -> None:
    """Also of a length that is no position in any text of Python."""
    varint = bytes(length >> shift & 0x7F | 0x80 for shift in range(0, 63, 7)) + bytes([length >> 63])
    damaged = _damaged(pb.RerankRequest(query="\ufffd"))
    assert _repaired(damaged + b"\x0a" + varint, _DESCRIPTOR) is None
    document = b"\x0a\x03" + _SURROGATE + b"\x0a" + varint
    assert _repaired(b"\x1a" + bytes([len(document)]) + document, _DESCRIPTOR) is None


def test_deep_text_takes_no_more_steps_than_a_flat_one() -> None:
    """Each byte is searched once, and not at each of 30 levels."""
    text = "\ud000" * 1_000_000 + "\ufffd" * 300_000
    flat, deep = pb.RerankRequest(query=text), pb.RerankRequest(documents=[pb.Document()])
    value = deep.documents[0].object.fields["a"]
    for _ in range(30):
        value = value.list_value.values.add()
    value.string_value = text
    steps = []
    for message in (flat, deep):
        repaired, count = _with_steps(_damaged(message), _DESCRIPTOR)
        assert repaired == message.SerializeToString()
        steps.append(count)
    assert steps[1] <= steps[0] + 1
    assert steps[0] > 10


def test_many_fields_are_visited_in_steps() -> None:
    """Each field may need many turns of Python."""
    message = pb.RerankRequest(documents=[pb.Document(text="a")] * 10_000, query="\ufffd")
    assert _with_steps(_damaged(message), _DESCRIPTOR)[1] >= 10
