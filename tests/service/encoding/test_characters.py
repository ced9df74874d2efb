"""Whole characters: the positions of tokens, and the ends of windows, highlights and queries that are cut."""

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from rerank_service.encoding.characters import FIRST_CONTINUING, character_end, character_start
from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.encoding.template import Template
from rerank_service.encoding.text_ends import text_start
from rerank_service.encoding.token_spans import token_spans
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.ranking.request import CutSide
from support.reading_plans import plan_for

_WORDS = ["café", "Žižek", "한국어", "ガラス", "ệ", "กิน", "कि", "plain", "🗼", ". "]
_NFD = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=60).map(
    lambda words: unicodedata.normalize("NFD", "".join(words))
)
_TEMPLATE = Template(before=("{query}",), document="{document}", after=("?",))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _byte_tokenizer(normalizer: normalizers.Normalizer | None) -> Tokenizer:
    """Return a tokenizer with one token for each byte."""
    tokenizer = Tokenizer(models.BPE({char: at for at, char in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return tokenizer


def _character_tokenizer(normalizer: normalizers.Normalizer) -> Tokenizer:
    """Return a tokenizer with one token for each code point."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.normalizer = normalizer
    return tokenizer


_COMPOSING = {
    "nfc": _character_tokenizer(normalizers.NFC()),
    "nfkc": _character_tokenizer(normalizers.NFKC()),
    "nfc-bytes": _byte_tokenizer(normalizers.NFC()),
}


@pytest.fixture(scope="module", params=_COMPOSING)
def composing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PairTokenizer:
    """Return the tokenizer of a model that composes characters."""
    path = tmp_path_factory.mktemp("composing") / "tokenizer.json"
    _COMPOSING[request.param].save(str(path))
    return PairTokenizer(path, max_tokens=60, template=_TEMPLATE)


@pytest.mark.parametrize("tokenizer", _COMPOSING.values(), ids=_COMPOSING)
@given(text=_NFD)
def test_token_ends_after_the_accent_that_it_holds(tokenizer: Tokenizer, text: str) -> None:
    """The text up to the end of each token, and the rest, compose to the same characters as the whole text."""
    ends = token_spans(tokenizer.encode(text), text)[:, 1].tolist()
    assert ends[-1] == len(text)
    assert all(_nfc(text[:end]) + _nfc(text[end:]) == _nfc(text) for end in ends)


@given(_NFD)
def test_token_of_an_accent_alone_keeps_its_position(text: str) -> None:
    """A tokenizer that does not compose has tokens of its own for marks."""
    encoding = _byte_tokenizer(None).encode(text)
    assert token_spans(encoding, text).tolist() == [list(offsets) for offsets in encoding.offsets]


@pytest.mark.parametrize("text", ["", " ", "e\u0301"], ids=["empty", "blank", "accent"])
def test_token_spans_of_short_texts(text: str) -> None:
    """The shape is the same with no token."""
    spans = token_spans(_COMPOSING["nfc"].encode(text), text)
    assert spans.dtype == np.int64
    assert spans.tolist() == [[0, len(text)]] * bool(text)


@settings(max_examples=50)
@given(text=_NFD.map(lambda text: text * 40), overlap=st.sampled_from([0, 8]))
def test_windows_hold_whole_characters(composing: PairTokenizer, text: str, overlap: int) -> None:
    """So the windows have the same characters as the text. Without an overlap, each character is in one window."""
    query = composing.encode_query("q")
    spans = composing.encode_windows(query, text, plan_for(60, overlap=overlap, max_tokens=100_000)).spans
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    for (start, end), (following, _) in pairwise(spans):
        for position in (end, following):
            assert _nfc(text[start:position]) + _nfc(text[position:]) == _nfc(text[start:])


def test_part_that_is_read_ends_with_a_whole_character(composing: PairTokenizer) -> None:
    """Highlights are taken from this part."""
    text = unicodedata.normalize("NFD", "한é" * 200)
    start, end = composing.read_span(composing.encode_query("q"), text, plan_for(60, windows=False))
    assert start == 0
    assert 0 < end < len(text)
    assert _nfc(text[:end]) + _nfc(text[end:]) == _nfc(text)


@pytest.mark.parametrize("side", CutSide)
def test_query_is_cut_at_a_whole_character(composing: PairTokenizer, side: CutSide) -> None:
    """The tokens are those of a query that was cut before its characters were divided."""
    text = "é" * 100
    limits = PairLimits(tokens=60, min_room=20, cut_query=True, cut_side=side)
    divided = composing.encode_query(unicodedata.normalize("NFD", text), limits=limits)
    assert divided.truncated
    assert divided.head.ids.tolist() == composing.encode_query(text, limits=limits).head.ids.tolist()


def test_long_text_is_cut_at_a_whole_character() -> None:
    """A sentence that is too long for one highlight is split there."""
    assert text_start("ka\u0301" * 10, 8) == "ka\u0301" * 2 + "k"
    assert text_start("a" + "\u0301" * 20, 8) == "a" + "\u0301" * 7


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("ae\u0301\u0323b", 1, 4),
        ("a\u1112\u1161\u11abb", 1, 4),
        ("aｶﾞb", 1, 3),
        ("aกิ่b", 1, 4),
    ],
    ids=["accents", "korean", "halfwidth", "thai"],
)
def test_ends_of_a_character(text: str, start: int, end: int) -> None:
    """Positions within a character move to its start or its end, between the bounds."""
    for within in range(start + 1, end):
        assert character_start(text, 0, within) == start
        assert character_start(text, within, within) == within
        assert character_end(text, within, len(text)) == end
        assert character_end(text, within, within) == within
    assert character_start(text, 0, end) == character_end(text, end, len(text)) == end
    assert character_start(text, 0, len(text)) == len(text)


def test_no_code_point_before_the_first_continues_a_character() -> None:
    """Positions before such code points are not looked at one by one."""
    lower = "".join(map(chr, range(FIRST_CONTINUING)))
    assert [at for at in range(FIRST_CONTINUING) if character_end(lower, at, at + 1) != at] == []
    assert character_end(f"a{chr(FIRST_CONTINUING)}", 1, 2) == 2


@pytest.mark.parametrize("mark", ["\uff9e", "\u1161", "\u0301"])
def test_a_long_run_of_marks_is_divided(mark: str) -> None:
    """Otherwise, each window of such a text would have one code point."""
    text = "a" + mark * 100
    assert character_start(text, 1, 90) == 90
    assert character_start(text, 0, 20) == 0
    assert character_start(text, 50, 60) == 60
