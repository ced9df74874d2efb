"""Workload: the same seed gives the same requests, with the given lengths."""

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rerank_service.models.files import STARTER
from rerank_service.tools.loadtest.workload import Lengths, Workload


def test_request_depends_only_on_seed_and_number() -> None:
    """Requests created before have no effect. Another seed or number gives another request."""
    first = Workload(seed=7).request(3)
    Workload(seed=7).request(2)
    assert Workload(seed=7).request(3) == first
    assert Workload(seed=8).request(3) != first
    assert Workload(seed=7).request(4) != first


def test_requests_equal_those_of_earlier_releases() -> None:
    """Results of different releases are comparable as long as this test is unchanged."""
    request = Workload(documents=2, lengths=Lengths(3, 3)).request(0)
    assert request.query == "imaging directed fiction sanchez"
    assert [len(document.split()) for document in request.documents] == [3, 3]


def test_words_are_tokens_of_the_bundled_model() -> None:
    """So lengths in words are lengths in tokens."""
    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    for document in Workload(seed=1).request(0).documents:
        assert len(tokenizer.encode(document, add_special_tokens=False).ids) == len(document.split())


@given(shortest=st.integers(1, 500), more=st.integers(0, 500), number=st.integers(0, 1_000))
def test_lengths_stay_within_their_bounds(shortest: int, more: int, number: int) -> None:
    """Also if both bounds are equal."""
    workload = Workload(documents=3, lengths=Lengths(shortest, shortest + more))
    for document in workload.request(number).documents:
        assert shortest <= len(document.split()) <= shortest + more


def test_lengths_are_mixed() -> None:
    """Many texts are short and few are long."""
    lengths = sorted(len(text.split()) for number in range(40) for text in Workload().request(number).documents)
    assert lengths[0] < 30
    assert 80 < lengths[len(lengths) // 2] < 110
    assert lengths[-1] > 350


def test_prepared_requests_repeat_with_other_queries() -> None:
    """A score cache has no pair of a repeated request."""
    prepared = Workload(documents=2).prepared(3, first=5)
    assert prepared.request(4) == prepared.request(1) == Workload(documents=2).request(6)
    repeated = prepared.repeated(3).requests
    assert len({request.query for request in repeated}) == len(repeated) == 9
    assert [request.documents for request in repeated] == [request.documents for request in prepared.requests] * 3
    assert [len(request.query.split()) for request in repeated[3:6]] == [
        len(request.query.split()) for request in prepared.requests
    ]


def test_a_load_has_different_pairs_without_end() -> None:
    """Documents repeat after a while, since creating them during the load would slow the clients down."""
    workload = Workload(documents=2_500, lengths=Lengths(2, 2))
    repeating = workload.repeating()
    assert len(repeating.requests) == 4
    assert [repeating.request(number) for number in range(4)] == [workload.request(number) for number in range(4)]
    assert repeating.request(4).documents == repeating.request(0).documents
    assert len({repeating.request(number).query for number in range(40)}) == 40
    assert len(Workload().repeating().requests) == 64
    assert len(Workload(documents=20_000, lengths=Lengths(1, 1)).repeating().requests) == 1
