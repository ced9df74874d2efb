"""Pair formats of tokenizers: does a token mark where the query ends?"""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rerank_service.encoding.pair_format import pair_format

TOKENS = ["<s>", "</s>", "[CLS]", "[SEP]", "a", "b"]


def _tokenizer(pair: str | None) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({token: at for at, token in enumerate(TOKENS)}, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if pair:
        specials = [(token, at) for at, token in enumerate(TOKENS)]
        tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair=pair, special_tokens=specials)
    return tokenizer


@pytest.mark.parametrize(
    ("pair", "separates", "between"),
    [
        ("[CLS] $A [SEP] $B [SEP]", True, "only [SEP]"),
        ("<s> $A </s> </s> $B </s>", True, "only </s> </s>"),
        ("$A </s> $B </s>", True, "only </s>"),
        ("<s> $A </s> <s> $B </s>", True, "only </s> <s>"),
        ("<s> $A <s> $B", False, "only <s>"),
        ("<s> $A $B </s>", False, "nothing"),
        ("$A $B", False, "nothing"),
        (None, False, "nothing"),
    ],
    ids=["BERT", "RoBERTa", "T5", "Llama with ends", "Llama", "around only", "Qwen", "no post-processor"],
)
def test_a_token_that_begins_the_pair_does_not_separate(pair: str | None, separates: bool, between: str) -> None:
    """It says that a text begins, and not that the query ends."""
    found = pair_format(_tokenizer(pair))
    assert found is not None
    assert (found.separates, str(found)) == (separates, between)


def test_document_before_the_query_has_no_pair_format() -> None:
    """PairTokenizer rejects it."""
    assert pair_format(_tokenizer("$B [SEP] $A")) is None
