"""Golden pairs of an export: short pairs with spread logits, which the server finds again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_export.gate.golden_pairs import golden_pairs
from rerank_export.gate.parity_set import ParitySet, Query, read_parity_set
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.golden_check import check_golden
from rerank_service.models.golden_pairs import GoldenPair, read_golden_pairs
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from support.small import logit


@pytest.fixture(scope="module")
def built_in() -> ParitySet:
    """Return the built-in parity set."""
    return read_parity_set(None, None)


def _set(queries: dict[str, tuple[str, ...]]) -> ParitySet:
    return ParitySet(
        name="own", digest="", of=len(queries), queries=tuple(Query(text, each) for text, each in queries.items())
    )


def test_export_writes_golden_pairs(bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """The server scores them within the tolerance, and far below it."""
    bundle = open_bundle(bundles("bert").folder)
    assert len(read_golden_pairs(bundle)) == 8
    difference = check_golden(load_selected(ModelOptions(folder=bundle.folder, cache=tmp_path)))
    assert difference is not None
    assert difference < 1e-5


def test_starter_has_the_golden_pairs_that_an_export_would_write(starter: Bundle, built_in: ParitySet) -> None:
    """Up to the order of sums on the machine. If this fails, run tests/golden/make_golden_pairs.py."""
    chosen, stored = golden_pairs(starter, built_in), read_golden_pairs(starter)
    assert [(pair.query, pair.document) for pair in chosen] == [(pair.query, pair.document) for pair in stored]
    assert [pair.logit for pair in chosen] == pytest.approx([pair.logit for pair in stored], abs=1e-4)


def test_pairs_are_short_and_spread(starter: Bundle, built_in: ParitySet) -> None:
    """From the lowest logit of the short pairs to the highest, at equal distances in their order."""
    pairs = read_golden_pairs(starter)
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=starter.manifest.max_tokens)
    lengths = [
        len(tokenizer.encode_documents(tokenizer.encode_query(pair.query), [pair.document])[0]) for pair in pairs
    ]
    logits = [pair.logit for pair in pairs]
    assert max(lengths) <= 32
    assert logits == sorted(logits)
    assert logits[0] < -3
    assert logits[-1] > 4


def test_small_parity_sets_have_fewer_pairs(small_model: Bundle) -> None:
    """All of them, if there are no more than eight. The longest of nine is left out."""
    documents = tuple(" ".join(["1"] * count) for count in range(1, 10))
    assert golden_pairs(small_model, _set({"q": documents})) == tuple(
        GoldenPair(query="q", document=text, logit=logit(text)) for text in documents[:8]
    )
    assert len(golden_pairs(small_model, _set({"q": documents[:2]}))) == 2
