"""The batching policy: limits kept, nothing lost, nothing starved, arrays as they should be."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.batching import BatchLimits, EncodedPair, Segment, collate, plan, take

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=200)
LIMITS = st.builds(
    BatchLimits,
    max_tokens=st.integers(1, 5000),
    max_pairs=st.integers(1, 40),
    length_multiple=st.sampled_from([1, 8, 16]),
)


@given(LENGTHS, LIMITS)
def test_plan_places_each_pair_once(lengths: list[int], limits: BatchLimits) -> None:
    """Every position is in exactly one batch."""
    assert sorted(position for batch in plan(lengths, limits) for position in batch) == list(range(len(lengths)))


@given(LENGTHS, LIMITS)
def test_plan_keeps_to_the_limits(lengths: list[int], limits: BatchLimits) -> None:
    """No batch has too many rows, nor too many padded tokens unless it is a single row."""
    for batch in plan(lengths, limits):
        padded = limits.padded(max(lengths[position] for position in batch)) * len(batch)
        assert len(batch) <= limits.max_pairs
        assert padded <= limits.max_tokens or len(batch) == 1


@given(LENGTHS, LIMITS)
def test_plan_puts_like_lengths_together(lengths: list[int], limits: BatchLimits) -> None:
    """No pair of a later batch is longer than one of an earlier batch."""
    batches = [[lengths[position] for position in batch] for batch in plan(lengths, limits)]
    for longer, shorter in itertools.pairwise(batches):
        assert min(longer) >= max(shorter)


@given(LENGTHS, LIMITS)
def test_take_never_starves_the_oldest(lengths: list[int], limits: BatchLimits) -> None:
    """The oldest pair is always in the batch, so a pair runs after at most as many batches as were before it."""
    assert 0 in take(lengths, limits)


def test_take_leaves_unlike_lengths_for_later() -> None:
    """The oldest is short, so the long pair does not make its batch wide."""
    assert take([3, 500, 4, 5], BatchLimits(max_tokens=512)) == [3, 2, 0]


@st.composite
def _pairs(draw: st.DrawFn) -> list[EncodedPair]:
    def segment(token_type: int, least: int = 1) -> Segment:
        ids = draw(st.lists(st.integers(1, 9), min_size=least, max_size=6))
        return Segment(np.array(ids, np.int64), np.full(len(ids), token_type, np.int64))

    head, tail = segment(0), segment(1)
    documents = draw(st.lists(st.lists(st.integers(1, 9), max_size=20), min_size=1, max_size=8))
    return [EncodedPair(head, np.array(document, np.int64), tail, document_type=1) for document in documents]


@given(_pairs(), st.sampled_from([1, 8]))
def test_collate_lays_pairs_out_as_rows(pairs: list[EncodedPair], multiple: int) -> None:
    """Each row holds head, document and tail, then the pad id with mask and type 0."""
    batch = collate(pairs, pad_id=77, limits=BatchLimits(length_multiple=multiple))
    assert batch.length % multiple == 0
    assert batch.length - multiple < max(map(len, pairs)) <= batch.length
    for row, pair in enumerate(pairs):
        ids = [*pair.head.ids, *pair.document, *pair.tail.ids]
        types = [*pair.head.type_ids, *[1] * len(pair.document), *pair.tail.type_ids]
        padding = batch.length - len(pair)
        assert batch.input_ids[row].tolist() == ids + [77] * padding
        assert batch.token_type_ids[row].tolist() == types + [0] * padding
        assert batch.attention_mask[row].tolist() == [1] * len(pair) + [0] * padding
