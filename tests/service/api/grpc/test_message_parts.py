"""Large messages, parsed in parts: the same message, or an error."""

from collections import deque

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.message_parts import parsed_in_parts
from rerank_service.errors import InvalidRequest


def _parsed(data: bytes) -> pb.RerankRequest | None:
    work = parsed_in_parts(pb.RerankRequest, data, part_bytes=8)
    try:
        while True:
            next(work)
    except StopIteration as end:
        message: pb.RerankRequest = end.value
        return message
    except DecodeError:
        return None


def _whole(data: bytes) -> pb.RerankRequest | None:
    try:
        return pb.RerankRequest.FromString(data)
    except DecodeError:
        return None


@given(
    st.builds(
        lambda query, texts, top_n, score: pb.RerankRequest(
            query=query, documents=[pb.Document(text=text) for text in texts], top_n=top_n, min_score=score
        ),
        st.text(max_size=20),
        st.lists(st.text(max_size=20), max_size=10),
        st.integers(0, 2**31 - 1),
        st.floats(0, 1),
    ),
    st.binary(max_size=3),
    st.integers(0, 200),
)
def test_message_is_that_of_one_part(message: pb.RerankRequest, damage: bytes, at: int) -> None:
    """A damaged one is rejected by both, or means the same to both."""
    data = message.SerializeToString()
    assert _parsed(data) == message
    damaged = data[:at] + damage + data[at + 1 :]
    assert _parsed(damaged) == _whole(damaged)


def test_number_of_fields_in_a_part_is_limited() -> None:
    """A million empty documents are 2 MB."""
    message = pb.RerankRequest(documents=[pb.Document()] * 5_000)
    work = parsed_in_parts(pb.RerankRequest, message.SerializeToString())
    assert sum(1 for _ in work) == 3


def test_number_of_fields_of_a_message_is_limited() -> None:
    """Each takes far more memory than its two bytes."""
    work = parsed_in_parts(pb.RerankRequest, b"\x1a\x00" * 1_000_001)
    with pytest.raises(InvalidRequest, match="more than 1,000,000 fields"):
        deque(work, maxlen=0)
    deque(parsed_in_parts(pb.RerankRequest, b"\x1a\x00" * 1_000_000), maxlen=0)


_START, _END, _OTHER_END = b"\xa3\x06", b"\xa4\x06", b"\xac\x06"
"""Tags of the groups 100 and 101, which the message does not have."""


@pytest.mark.parametrize(
    "group",
    [
        _START + _END,
        _START + b"\x0a\x01x" * 10 + _END,
        _START * 50 + _END * 50,
        _START * 99 + _END * 99,
        _START * 101 + _END * 101,
        _START * 5_000 + _END * 5_000,
        _START,
        _END,
        _START + _OTHER_END,
        _START * 2 + _END,
        _START + b"\x0a\x7fx",
    ],
    ids=["empty", "fields", "50", "99", "101", "5000", "no end", "no start", "other end", "one end", "cut"],
)
def test_unknown_group_means_the_same_as_in_one_part(group: bytes) -> None:
    """Messages of later versions may have groups. Both reject what is no group, and groups that are too deep."""
    message = pb.RerankRequest(query="0", documents=[pb.Document(text="1 2 3 4 5")] * 3).SerializeToString()
    for data in (group + message, message + group, message + group + message):
        assert _parsed(data) == _whole(data)


def test_a_large_group_is_read_in_steps() -> None:
    """Of 2,000 fields each."""
    work = parsed_in_parts(pb.RerankRequest, _START + b"\x08\x00" * 10_000 + _END)
    assert sum(1 for _ in work) == 6
