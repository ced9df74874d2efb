"""OpenVINO in int8 and bf16: scores that depend on their own pair only. Needs VNNI, and instructions for bf16."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import works
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from rerank_service.scheduling.batching import collate
from support.compressed import with_compressed_weights
from support.limits import batch_limits

_ENGINES = [
    pytest.param(
        engine := Engine(Provider.OPENVINO, precision),
        marks=pytest.mark.skipif(not works(engine), reason="OpenVINO or the processor does not support it"),
        id=str(engine),
    )
    for precision in (Precision.INT8, Precision.BF16)
]
_BUNDLE = open_bundle(STARTER)
_TOKENIZER = PairTokenizer(_BUNDLE.tokenizer, max_tokens=_BUNDLE.manifest.max_tokens)
_TEXT = st.text(max_size=60) | st.lists(
    st.sampled_from(["what", "is", "the", "capital", "of", "france", "paris", "rome", "🗼", "42"]), max_size=30
).map(" ".join)


@cache
def _encoder(engine: Engine) -> CrossEncoder:
    is_int8 = engine.precision is Precision.INT8
    return CrossEncoder(with_compressed_weights(_BUNDLE.graph) if is_int8 else _BUNDLE.graph, engine)


@pytest.mark.parametrize("engine", _ENGINES)
@settings(max_examples=5, deadline=None)
@given(query=_TEXT, documents=st.lists(_TEXT, min_size=2, max_size=3), steps=st.integers(1, 3), data=st.data())
def test_score_does_not_depend_on_the_batch(
    engine: Engine, query: str, documents: list[str], steps: int, data: st.DataObject
) -> None:
    """Equal to the bit: alone, in a batch of any order, and with more padding. Few examples: each shape is compiled."""
    encoder, own = _encoder(engine), default_limits(engine)
    pairs = _TOKENIZER.encode_documents(_TOKENIZER.encode_query(query), documents)
    order = data.draw(st.permutations(range(len(pairs))))
    alone = [float(encoder.score(collate([pair], pad_id=0, limits=own))[0]) for pair in pairs]
    wider = batch_limits(length_multiple=steps * own.length_multiple)
    batch = collate([pairs[at] for at in order], pad_id=0, limits=wider)
    assert encoder.score(batch).tolist() == [alone[at] for at in order]
