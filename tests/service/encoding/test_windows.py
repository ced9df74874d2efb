"""Windows of long documents: ends, tokens and limits. Covers windows.py, and `encode_windows` of the tokenizer."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rerank_service.encoding.template import Template
from rerank_service.encoding.tokenizer import EncodedWindows, PairTokenizer
from rerank_service.encoding.windows import window_spans
from rerank_service.models.files import STARTER
from rerank_service.ranking.document import Span
from rerank_service.ranking.request import CutSide
from support.reading_plans import plan_for

_STARTER = PairTokenizer(STARTER / "tokenizer.json", max_tokens=64)
_WHOLE = plan_for(64)
_PROSE = "The tower was built in 1889. It is made of iron! Who designed it? An engineer (of bridges). "


def _letters(text: str) -> list[Span]:
    """Return the offsets of a tokenizer with one token for each character."""
    return [(at, at + 1) for at in range(len(text))]


def _cut(text: str, size: int, count: int, overlap: int = 0) -> list[str]:
    spans = window_spans(text, np.array(_letters(text)), size=size, overlap=overlap, count=count)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "size", "windows"),
    [
        ("one two three four", 99, ["one two three four"]),
        ("one two three four", 99, ["one two ", "three four"]),
        ("A b c. D e f. G h i.", 8, ["A b c. ", "D e f. ", "G h i."]),
        ('He said "go." Then he went.', 16, ['He said "go." ', "Then he went."]),
        ("one two three four", 10, ["one two ", "three four"]),
        ("pi is 3.14159 or so", 12, ["pi is 3.14", "159 or so"]),
        ("first line\nsecond line", 14, ["first line\n", "second line"]),
        ("東京は日本の首都です。大阪は西にあります。", 13, ["東京は日本の首都です。", "大阪は西にあります。"]),
        ("東京は、日本の首都", 5, ["東京は、", "日本の首都"]),
        ("東京都庁舎", 3, ["東京都", "庁舎"]),
        ("กรุงเทพ เมือง", 9, ["กรุงเทพ ", "เมือง"]),
        ("เมืองไทย", 2, ["เ", "มื", "อง", "ไท", "ย"]),
        ("दिल्ली है। आगरा है।", 13, ["दिल्ली है।", " आगरा है।"]),
    ],
)
def test_window_ends_with_a_sentence_else_a_word_else_a_character(text: str, size: int, windows: list[str]) -> None:
    """Close to an even share of the text. Combining marks stay with their characters."""
    assert _cut(text, size, len(windows)) == windows


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["a. ", "bc ", "d", "efg. "]), min_size=30, max_size=90), st.integers(20, 40))
def test_number_of_windows_is_the_one_that_was_planned(parts: list[str], size: int) -> None:
    """For any number that can hold the text. The windows have similar lengths. A large overlap may save some, since it
    begins with a sentence and is often shorter than planned."""
    text = "".join(parts)
    for overlap in (0, size // 8, size // 2):
        fewest = max(1, -(-(len(text) - overlap) // (size - overlap)))
        for count in (fewest, fewest + 1):
            windows = _cut(text, size, count, overlap)
            if overlap == size // 2:
                assert count * 3 // 4 <= len(windows) <= count
            else:
                assert len(windows) == count
                assert min(map(len, windows)) * 3 >= max(map(len, windows))


def test_overlap_begins_with_a_sentence_or_a_word() -> None:
    """The overlap is at most as long as requested."""
    assert _cut("A b. C d. E f. G h. I j. K l.", 15, 3, 7) == [
        "A b. C d. E f. ",
        "E f. G h. I j. ",
        "I j. K l.",
    ]
    assert _cut("ab cd ef gh ij kl mn op", 12, 3, 5) == ["ab cd ef gh ", "gh ij kl mn ", "mn op"]
    assert _cut("abcdefghij", 6, 2, 2) == ["abcdef", "efghij"]


@settings(max_examples=300)
@given(
    st.text(alphabet="ab .\n,。、กิ", min_size=1, max_size=200),
    st.integers(1, 40),
    st.integers(0, 20),
    st.integers(1, 30),
)
def test_windows_cover_the_text_within_their_limits(text: str, size: int, overlap: int, count: int) -> None:
    """Each window starts at or before the end of the one before, within the overlap, and moves forward."""
    offsets = np.array(_letters(text))
    windows = window_spans(text, offsets, size=size, overlap=min(overlap, size // 2), count=count)
    assert (windows[0][0], windows[-1][1]) == (0, len(text))
    assert all(0 < end - start <= size for start, end in windows)
    for (start, end), (following, further) in pairwise(windows):
        assert start < following <= end <= further
        assert end - following <= overlap


@settings(max_examples=300)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 6), st.integers(1, 20))
def test_character_of_several_tokens_stays_whole(tokens: list[int], size: int, overlap: int, count: int) -> None:
    """A byte-level tokenizer may use four tokens for a character. The windows cover the text and nothing beyond."""
    offsets = [(at, at + 1) for at, count in enumerate(tokens) for _ in range(count)]
    text, arrays = "東" * len(tokens), np.array(offsets)
    windows = window_spans(text, arrays, size=size, overlap=min(overlap, size // 2), count=count)
    assert (windows[0][0], windows[-1][1]) == (0, len(tokens))
    assert all(start < end for start, end in windows)
    assert all(start < following <= end for (start, end), (following, _) in pairwise(windows))


def _decoded(path: Path, encoded: EncodedWindows) -> list[str]:
    tokenizer = Tokenizer.from_file(str(path))
    return [tokenizer.decode(pair.document.tolist()) for pair in encoded.windows]


def test_window_has_the_tokens_of_a_document_of_its_own() -> None:
    """So it has the same score. Its span is its position in the text, in any script."""
    text = "🗼 " + _PROSE * 8 + "東京は日本の首都です。" * 12 + "東" * 70
    query = _STARTER.encode_query("tower")
    encoded = _STARTER.encode_windows(query, text, _WHOLE)
    alone = _STARTER.encode_documents(query, [text[start:end] for start, end in encoded.spans])
    assert [pair.document.tolist() for pair in encoded.windows] == [pair.document.tolist() for pair in alone]
    assert not any(pair.truncated for pair in alone)
    assert [pair.window for pair in encoded.windows] == list(range(len(encoded.spans)))
    assert not encoded.truncated


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a byte-level BPE tokenizer: its tokens may be parts of characters, or include the blank before a word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([_PROSE, "東京は日本の首都です。" * 3], trainer)
    path = tmp_path_factory.mktemp("bytes") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from([*_PROSE.split(), "東京は日本の首都です。", "กรุงเทพ", "🗼", "\n"]), min_size=60, max_size=120
    ),
    st.sampled_from(["", " "]),
    st.integers(12, 40),
)
def test_byte_level_tokenizer_loses_no_token(bytewise: Path, words: list[str], blank: str, room: int) -> None:
    """A window with more tokens on its own than within the text is halved. All windows together hold the text."""
    template = Template(before=("{query}",), document=" Document: {document}", after=("?",))
    text = blank.join(words)
    pairs = PairTokenizer(bytewise, max_tokens=room + 20, template=template)
    query = pairs.encode_query("q")
    encoded = pairs.encode_windows(query, text, plan_for(pairs.max_tokens, overlap=0))
    assert _decoded(bytewise, encoded) == [f" Document: {text[start:end]}" for start, end in encoded.spans]
    assert "".join(text[start:end] for start, end in encoded.spans) == text[encoded.spans[0][0] :]
    assert all(len(pair) <= pairs.max_tokens for pair in encoded.windows)


@pytest.mark.parametrize("side", CutSide)
def test_read_part_of_a_document_is_limited(side: CutSide) -> None:
    """By tokens and by windows, counted from the side that is kept."""
    text = "".join(f"Sentence number {at} stands here. " for at in range(500))
    query = _STARTER.encode_query("q")
    tokens = _STARTER.encode_windows(query, text, plan_for(64, max_tokens=200, cut_side=side))
    windows = _STARTER.encode_windows(query, text, plan_for(64, max_windows=2, cut_side=side))
    assert tokens.truncated
    assert windows.truncated
    assert len(windows.spans) == 2
    start, end = tokens.spans[0][0], tokens.spans[-1][1]
    assert 200 - 2 <= len(Tokenizer.from_file(str(STARTER / "tokenizer.json")).encode(text[start:end]).ids) - 2 <= 200
    if side is CutSide.RIGHT:
        assert start == windows.spans[0][0] == 0
    else:
        assert end == windows.spans[-1][1] == len(text.rstrip())
