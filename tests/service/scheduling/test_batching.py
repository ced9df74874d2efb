"""Collating pairs into the arrays of a batch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.batching import EncodedPair, Segment, collate
from support.limits import batch_limits


@st.composite
def _pairs(draw: st.DrawFn) -> list[EncodedPair]:
    def segment(token_type: int, least: int = 1) -> Segment:
        ids = draw(st.lists(st.integers(1, 9), min_size=least, max_size=6))
        return Segment(np.array(ids, np.int64), np.full(len(ids), token_type, np.int64))

    head, tail = segment(0), segment(1)
    documents = draw(st.lists(st.lists(st.integers(1, 9), max_size=20), min_size=1, max_size=8))
    return [EncodedPair(head, np.array(document, np.int64), tail, document_type=1) for document in documents]


@given(_pairs(), st.sampled_from([1, 8]))
def test_collate_places_each_pair_in_a_row(pairs: list[EncodedPair], multiple: int) -> None:
    """A row holds head, document and tail, then the pad id with mask 0 and type 0."""
    batch = collate(pairs, pad_id=77, limits=batch_limits(length_multiple=multiple))
    assert batch.length % multiple == 0
    assert batch.rows == len(pairs)
    assert batch.length - multiple < max(map(len, pairs)) <= batch.length
    for row, pair in enumerate(pairs):
        ids = [*pair.head.ids, *pair.document, *pair.tail.ids]
        types = [*pair.head.type_ids, *[1] * len(pair.document), *pair.tail.type_ids]
        padding = batch.length - len(pair)
        assert batch.input_ids[row].tolist() == ids + [77] * padding
        assert batch.token_type_ids[row].tolist() == types + [0] * padding
        assert batch.attention_mask[row].tolist() == [1] * len(pair) + [0] * padding
