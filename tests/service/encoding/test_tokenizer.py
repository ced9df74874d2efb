"""Joining a query and a document by hand gives what the tokenizer gives for the pair."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from rerank_service.encoding.token_rate import TokenRate
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.encoding.windows import ReadingPlan
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import STARTER
from rerank_service.ranking.request import CutSide

_STARTER = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
_PAIRS = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512)
TEXT = st.text(max_size=80)


@settings(max_examples=300)
@given(TEXT, st.lists(TEXT, min_size=1, max_size=4))
def test_joined_ids_are_those_of_the_pair(query: str, documents: list[str]) -> None:
    """Ids and token types, for any text."""
    for document, pair in zip(documents, _PAIRS.encode_documents(_PAIRS.encode_query(query), documents), strict=True):
        expected = _STARTER.encode(query, document)
        types = [*pair.head.type_ids, *[pair.document_type] * len(pair.document), *pair.tail.type_ids]
        assert [*pair.head.ids, *pair.document, *pair.tail.ids] == expected.ids
        assert types == expected.type_ids


def test_roberta_templates_are_read_off_the_tokenizer(tmp_path: Path) -> None:
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


def test_a_long_document_is_cut_and_says_so(small_model: Bundle) -> None:
    """The query and the template are never cut."""
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
def test_of_a_long_document_only_one_side_is_tokenized(words: list[str], room: int, side: CutSide) -> None:
    """And its ids are the first of the whole's, or the last."""
    text = " ".join(words)
    (pair,) = _PAIRS.encode_documents(_PAIRS.encode_query("q"), [text], max_tokens_per_doc=room, cut_side=side)
    whole = _STARTER.encode(text, add_special_tokens=False).ids
    kept = whole[:room] if side is CutSide.RIGHT else whole[-room:]
    assert (pair.document.tolist(), pair.truncated) == (kept, len(whole) > room)


class _CountedRate(TokenRate):
    """Counts the characters that are tokenized."""

    chars = 0

    def learn(self, chars: int, tokens: int) -> None:
        self.chars += chars


def test_a_document_of_a_million_characters_costs_no_more_than_its_window() -> None:
    """A few thousand characters are read of it; all of it only where it has no end of a word."""
    sides = product((("lorem ipsum " * 90_000, 40_000), ("x" * 100_000, 300_000)), CutSide)
    for (text, most), side in sides:
        read = _CountedRate()
        pairs = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512, rate=read)
        pairs.encode_documents(pairs.encode_query("q"), [text], cut_side=side)
        assert read.chars < most


def test_max_tokens_per_doc_cuts_further_and_never_less(small_model: Bundle) -> None:
    """The smaller of the two bounds holds."""
    pairs = PairTokenizer(small_model.tokenizer, max_tokens=10)
    query = pairs.encode_query("1 2 3")
    for limit, kept in ((2, 2), (4, 4), (99, 4)):
        pair = pairs.encode_documents(query, ["1 2 3 4 5"], max_tokens_per_doc=limit)[0]
        assert (len(pair.document), pair.truncated) == (kept, True)


def test_a_query_without_room_for_a_document_is_refused(small_model: Bundle) -> None:
    """The longest query that is let in leaves one token."""
    pairs = PairTokenizer(small_model.tokenizer, max_tokens=10)
    assert pairs.encode_query("1 2 3 4 5 6").room == 1
    with pytest.raises(InvalidRequest, match=r"query has 7 tokens.*at most 6") as caught:
        pairs.encode_query("1 2 3 4 5 6 7")
    assert caught.value.field == "query"


def test_a_guess_is_near_and_cannot_be_steered() -> None:
    """Within two fifths for plain text, never more than the window, whatever odd texts others have sent."""
    pairs = PairTokenizer(STARTER / "tokenizer.json", max_tokens=512)
    query = "what is the capital of france"
    text = "Paris is the capital of France, a city on the river Seine. " * 4
    for odd in ("x", "x" * 9000):
        for _ in range(60):
            pairs.encode_documents(pairs.encode_query(query), [odd])
        (pair,) = pairs.encode_documents(pairs.encode_query(query), [text])
        guess = pairs.token_estimator(query, ReadingPlan(8192, windows=False))
        assert guess(len(text)) == pytest.approx(len(pair), rel=0.4)
        assert guess(10**9) <= 512
    assert pairs.token_estimator("word " * 20_000, ReadingPlan(8192))(100) == 0.0


def test_what_is_no_tokenizer_is_refused(small_model: Bundle) -> None:
    """The tokenizers library raises a bare Exception."""
    with pytest.raises(BundleInvalid, match="not a tokenizer"):
        PairTokenizer(small_model.folder / "config.json", max_tokens=10)


def test_a_long_word_has_the_tokens_that_it_has_however_little_is_read(starter: Bundle) -> None:
    """A word of more than a hundred characters is unknown to WordPiece; its first half might not be."""
    pairs = PairTokenizer(starter.tokenizer, max_tokens=512)
    query = pairs.encode_query("q")
    word = "mars" * 40
    (whole,) = pairs.encode_documents(query, [word])
    (little,) = pairs.encode_documents(query, [word], max_tokens_per_doc=3)
    assert little.document.tolist() == whole.document.tolist()
