"""The pair tokenizer: query and document tokenized separately give the tokens of the pair. Covers pair_layout, too."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rerank_service.encoding.token_rate import TokenRate, TokenRates
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import STARTER
from rerank_service.ranking.request import CutSide
from support.reading_plans import plan_for

_STARTER = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
_PAIRS = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512)
TEXT = st.text(max_size=80)


@settings(max_examples=300)
@given(TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_pair_has_the_tokens_that_the_tokenizer_gives(query: str, documents: list[str]) -> None:
    """Ids and token types are equal, for any text."""
    for document, pair in zip(documents, _PAIRS.encode_documents(_PAIRS.encode_query(query), documents), strict=True):
        expected = _STARTER.encode(query, document)
        types = [*pair.head.type_ids, *[pair.document_type] * len(pair.document), *pair.tail.type_ids]
        assert [*pair.head.ids, *pair.document, *pair.tail.ids] == expected.ids
        assert types == expected.type_ids


def test_roberta_layout_is_read_from_the_tokenizer(tmp_path: Path) -> None:
    """<s> query </s></s> document </s>, all of type 0."""
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 2, "a": 5, "b": 6, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    pairs = PairTokenizer(path, max_tokens=64)
    pair = pairs.encode_documents(pairs.encode_query("a a"), ["b"])[0]
    assert [*pair.head.ids, *pair.document, *pair.tail.ids] == [0, 5, 5, 2, 2, 6, 2]
    assert not pair.head.type_ids.any()


def test_long_document_is_cut_and_marked(small_model: Bundle) -> None:
    """The query and the special tokens are never cut."""
    pairs = PairTokenizer(small_model.tokenizer, max_tokens=10)
    query = pairs.encode_query("1 2 3")
    short, long = pairs.encode_documents(query, ["1 2 3 4", "1 2 3 4 5"])
    assert (len(short), short.truncated) == (10, False)
    assert (len(long), long.truncated) == (10, True)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["capital", "x" * 40, "of", "\n", "東京", "🗼", "1234567890", "", " "]), max_size=3000),
    st.integers(1, 40),
    st.sampled_from(CutSide),
)
def test_cut_document_keeps_the_first_or_last_tokens(words: list[str], room: int, side: CutSide) -> None:
    """They are the first or last tokens of the whole document."""
    text = " ".join(words)
    (pair,) = _PAIRS.encode_documents(_PAIRS.encode_query("q"), [text], max_tokens_per_doc=room, cut_side=side)
    whole = _STARTER.encode(text, add_special_tokens=False).ids
    kept = whole[:room] if side is CutSide.RIGHT else whole[-room:]
    assert (pair.document.tolist(), pair.truncated) == (kept, len(whole) > room)


@pytest.mark.parametrize("side", CutSide)
def test_a_cut_document_keeps_only_the_tokens_that_are_scored(side: CutSide) -> None:
    """Far more are read of a dense text, and a stream has thousands of pairs in memory."""
    query = _PAIRS.encode_query("q")
    (pair,) = _PAIRS.encode_documents(query, ["東京" * 5_000], max_tokens_per_doc=40, cut_side=side)
    assert (len(pair.document), pair.truncated) == (40, True)
    assert pair.document.base is None


class _CountedRate(TokenRate):
    """Counts the characters that are tokenized."""

    chars = 0

    def learn(self, chars: int, tokens: int) -> None:
        self.chars += chars


def test_only_a_part_of_a_very_long_document_is_tokenized() -> None:
    """A few thousand characters; all of them only if the text has no blank."""
    sides = product((("lorem ipsum " * 90_000, 40_000), ("x" * 100_000, 300_000)), CutSide)
    for (text, most), side in sides:
        read = _CountedRate()
        pairs = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512, rates=TokenRates(read))
        pairs.encode_documents(pairs.encode_query("q"), [text], cut_side=side)
        assert read.chars < most


def test_max_tokens_per_doc_can_only_lower_the_limit(small_model: Bundle) -> None:
    """The smaller of the two limits applies."""
    pairs = PairTokenizer(small_model.tokenizer, max_tokens=10)
    query = pairs.encode_query("1 2 3")
    for limit, kept in ((2, 2), (4, 4), (99, 4)):
        pair = pairs.encode_documents(query, ["1 2 3 4 5"], max_tokens_per_doc=limit)[0]
        assert (len(pair.document), pair.truncated) == (kept, True)


def test_query_that_leaves_no_room_for_a_document_is_rejected(small_model: Bundle) -> None:
    """The longest accepted query leaves one token."""
    pairs = PairTokenizer(small_model.tokenizer, max_tokens=10)
    assert pairs.encode_query("1 2 3 4 5 6").room == 1
    with pytest.raises(InvalidRequest, match=r"query has 7 tokens.*at most 6") as caught:
        pairs.encode_query("1 2 3 4 5 6 7")
    assert caught.value.field == "query"


def test_token_estimate_is_close_and_robust() -> None:
    """It is within 40 % for plain text and never above the token limit, whatever other callers have sent."""
    pairs = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512)
    query = "what is the capital of france"
    text = "Paris is the capital of France, a city on the river Seine. " * 4
    for odd in ("x", "x" * 9000):
        for _ in range(60):
            pairs.encode_documents(pairs.encode_query(query), [odd])
        (pair,) = pairs.encode_documents(pairs.encode_query(query), [text])
        estimate = pairs.token_estimate(query, plan_for(512, windows=False))
        assert estimate(len(text)) == pytest.approx(len(pair), rel=0.4)
        assert estimate(10**9) <= 512
    assert 0 < pairs.token_estimate("word " * 20_000, plan_for(512, windows=False))(100) <= 512


def test_file_that_is_not_a_tokenizer_is_rejected(small_model: Bundle) -> None:
    """The tokenizers library raises a bare Exception."""
    with pytest.raises(BundleInvalid, match="not a tokenizer"):
        PairTokenizer(small_model.folder / "config.json", max_tokens=10)


def test_long_word_tokens_do_not_depend_on_read_length(starter: Bundle) -> None:
    """WordPiece does not know words of more than 100 characters. Half of such a word could be known."""
    pairs = PairTokenizer(starter.tokenizer, max_tokens=512)
    query = pairs.encode_query("q")
    word = "mars" * 40
    (whole,) = pairs.encode_documents(query, [word])
    (little,) = pairs.encode_documents(query, [word], max_tokens_per_doc=3)
    assert little.document.tolist() == whole.document.tolist()
