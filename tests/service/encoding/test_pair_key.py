"""Keys of pairs: equal for equal tokens only."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.encoding.encoded_query import EncodedQuery
from rerank_service.encoding.pair_key import KEY_BYTES, PairKeys
from rerank_service.scheduling.batching import EncodedPair, Segment

TOKENS = st.lists(st.integers(0, 3), max_size=3)
SEGMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=3)
PARTS = st.tuples(SEGMENTS, TOKENS, SEGMENTS, st.integers(0, 1), st.sampled_from([b"one model", b"another"]))


def _segment(tokens: list[tuple[int, int]]) -> Segment:
    return Segment(
        np.array([token for token, _ in tokens], np.int64), np.array([type_ for _, type_ in tokens], np.int64)
    )


def _key(parts: tuple[list[tuple[int, int]], list[int], list[tuple[int, int]], int, bytes]) -> bytes:
    head, document, tail, document_type, identity = parts
    query = EncodedQuery(head=_segment(head), tail=_segment(tail), document_type=document_type, query_tokens=1, room=9)
    pair = EncodedPair(query.head, np.array(document, np.int64), query.tail, document_type)
    return PairKeys(query, identity).of(pair)


@given(st.lists(PARTS, max_size=12))
def test_keys_are_equal_only_for_equal_pairs(parts: list[tuple[object, ...]]) -> None:
    """The boundaries between the parts matter, too."""
    for left, right in combinations(parts, 2):
        assert (_key(left) == _key(right)) == (left == right)  # type: ignore[arg-type]


def test_each_part_changes_the_key() -> None:
    """One part is changed at a time, token types included."""
    parts = ([(1, 0), (2, 0)], [3], [(2, 1)], 1, b"one model")
    others = [
        ([(1, 0), (3, 0)], [3], [(2, 1)], 1, b"one model"),
        ([(1, 0), (2, 1)], [3], [(2, 1)], 1, b"one model"),
        ([(1, 0), (2, 0)], [4], [(2, 1)], 1, b"one model"),
        ([(1, 0), (2, 0)], [3, 3], [(2, 1)], 1, b"one model"),
        ([(1, 0), (2, 0)], [3], [(1, 1)], 1, b"one model"),
        ([(1, 0), (2, 0)], [3], [(2, 0)], 1, b"one model"),
        ([(1, 0), (2, 0)], [3], [(2, 1)], 0, b"one model"),
        ([(1, 0), (2, 0)], [3], [(2, 1)], 1, b"another"),
    ]
    assert len({_key(parts), *map(_key, others)}) == 1 + len(others)


def test_truncated_flag_does_not_change_the_key() -> None:
    """A cut document has the score of the tokens that remain."""
    query = EncodedQuery(head=_segment([(1, 0)]), tail=_segment([(2, 1)]), document_type=1, query_tokens=1, room=9)
    ids = np.arange(5, dtype=np.int64)
    whole, cut = (EncodedPair(query.head, ids[:4], query.tail, 1, truncated=truncated) for truncated in (False, True))
    keys = PairKeys(query, b"identity")
    assert keys.of(whole) == keys.of(cut)
    assert len(keys.of(whole)) == KEY_BYTES
