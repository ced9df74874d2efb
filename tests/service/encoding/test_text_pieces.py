"""Pieces of a long text: they hold the text, and depend on nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.encoding.text_pieces import LONGEST_WORD, text_pieces

_TEXT = st.text(st.sampled_from("ab1 \n\t.,東。\u0301\u00a0"), max_size=80)


@given(_TEXT, st.integers(2, 20))
def test_pieces_hold_the_text(text: str, chars: int) -> None:
    """They are adjacent. Each but the last has between half of the maximum and the maximum of characters, or ends with
    a word."""
    pieces = list(text_pieces(text, chars))
    assert "".join(text[start:end] for start, end in pieces) == text
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    for start, end in pieces:
        assert end - start >= chars // 2 or end == len(text)
        assert end - start <= chars or text[start + chars // 2 : end - 1].isalnum()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("12345 678 ab cdefgh", "12345 678"),
        ("12345 678   \n cdefgh", "12345 678"),
        ("1 34567\n890.2cdefgh", "1 34567"),
        ("1 3456,7890cdefgh", "1 3456,"),
        ("1 34567890bc defgh", "1 34567890bc"),
        ("1 34567890bc,defgh", "1 34567890bc,"),
        ("1 34567890bcdefgh", "1 34567890bcdefgh"),
        ("東京は日本。の首都です。", "東京は日本。"),
    ],
    ids=[
        "before a blank",
        "before several",
        "before a line end",
        "after a mark",
        "with the word",
        "with the word and its mark",
        "with the text",
        "japanese",
    ],
)
def test_piece_ends_at_the_best_place(text: str, first: str) -> None:
    """In its second half, else with the word, which is not divided."""
    start, end = next(text_pieces(text, 10))
    assert text[start:end] == first


def test_very_long_word_is_divided() -> None:
    """So a text without an end of a word costs no more than a part of it."""
    assert next(text_pieces("x" * 1_000_000, 2_048)) == (0, 1_024 + LONGEST_WORD)
