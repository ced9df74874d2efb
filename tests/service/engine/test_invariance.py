"""A pair has the same score alone and in a batch, with any padding and order. Covers session and tokenizer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from rerank_service.scheduling.batching import collate
from support.limits import batch_limits

_BUNDLE = open_bundle(STARTER)
_SESSION = CrossEncoder(_BUNDLE.graph)
_TOKENIZER = PairTokenizer(_BUNDLE.tokenizer, max_tokens=_BUNDLE.manifest.max_tokens)
TEXT = st.text(max_size=200) | st.lists(
    st.sampled_from(["what", "is", "the", "capital", "of", "france", "paris", "rome", "🗼", "42"]), max_size=60
).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(
    query=TEXT, documents=st.lists(TEXT, min_size=2, max_size=8), multiple=st.sampled_from([1, 8, 64]), data=st.data()
)
def test_score_does_not_depend_on_the_batch(
    query: str, documents: list[str], multiple: int, data: st.DataObject
) -> None:
    """Within 1e-5, in fp32."""
    pairs = _TOKENIZER.encode_documents(_TOKENIZER.encode_query(query), documents)
    order = data.draw(st.permutations(range(len(pairs))))
    alone = [_SESSION.score(collate([pair], pad_id=0, limits=batch_limits(length_multiple=1)))[0] for pair in pairs]
    batch = collate([pairs[at] for at in order], pad_id=0, limits=batch_limits(length_multiple=multiple))
    np.testing.assert_allclose(_SESSION.score(batch), [alone[at] for at in order], rtol=0, atol=1e-5)
