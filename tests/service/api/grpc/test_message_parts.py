"""Large messages, parsed in parts: the same message, or an error."""

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.message_parts import parsed_in_parts


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
