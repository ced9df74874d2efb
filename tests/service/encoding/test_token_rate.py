"""Token rates: they are learned from the texts that are tokenized, for dense texts and for others."""

import pytest

from rerank_service.encoding.token_rate import TokenizedText, TokenRates
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.files import STARTER

ENGLISH = "Paris is the capital of France, a city on the river Seine. " * 20
CHINESE = "巴黎是法国的首都,位于塞纳河畔。" * 80


def test_each_kind_of_text_has_its_rate() -> None:
    """Texts of one call count together, and a call without texts of a kind leaves its rate as it is."""
    rates = TokenRates()
    start = rates.now
    assert start[True] == start.dense == start[False] == start.other
    for _ in range(100):
        rates.learn([TokenizedText(True, 40_000, 30_000), TokenizedText(True, 10_000, 10_000)])
    assert rates.now.other == start.other
    assert rates.now.dense == pytest.approx(0.8, abs=0.01)
    for _ in range(100):
        rates.learn([TokenizedText(False, 50_000, 10_000), TokenizedText(True, 50_000, 40_000)])
    assert rates.now == pytest.approx((0.2, 0.8), abs=0.01)


@pytest.mark.parametrize("pieces", [1, 40], ids=["whole", "in pieces"])
@pytest.mark.parametrize("english", [ENGLISH, f"“{ENGLISH}”"], ids=["ascii", "with quotation marks"])
def test_chinese_texts_do_not_change_estimates_of_english_ones(english: str, pieces: int) -> None:
    """They have three times as many tokens per character. Long texts are read in pieces."""
    rates = TokenRates()
    tokenizer = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512, rates=rates)
    query = tokenizer.encode_query("capital")
    for _ in range(40):
        tokenizer.encode_documents(query, [english * pieces])
    learned = rates.now.other
    assert learned < 0.25
    for _ in range(40):
        tokenizer.encode_documents(query, [CHINESE * pieces])
    assert rates.now.other == learned
    assert rates.now.dense > 2 * learned
