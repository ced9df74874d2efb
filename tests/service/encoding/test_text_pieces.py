"""Pieces of a long text: they hold the text, and depend on nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.encoding.text_pieces import text_pieces

_TEXT = st.text(st.sampled_from("ab1 \n\t.,東。\u0301\u00a0"), max_size=80)


@given(_TEXT, st.integers(2, 20))
def test_pieces_hold_the_text(text: str, chars: int) -> None:
    """They are adjacent. Each but the last has between half of the maximum and the maximum of characters."""
    pieces = list(text_pieces(text, chars))
    assert "".join(text[start:end] for start, end in pieces) == text
    assert [start for start, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    assert all(chars // 2 <= end - start <= chars for start, end in pieces[:-1])
    assert pieces[-1][1] - pieces[-1][0] <= chars


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("12345 678 ab cdefgh", "12345 678"),
        ("12345 678   \n cdefgh", "12345 678"),
        ("1 34567\n890.2cdefgh", "1 34567"),
        ("1 3456,7890cdefgh", "1 3456,"),
        ("1 34567890bcdefgh", "1 34567890"),
        ("東京は日本。の首都です。", "東京は日本。"),
    ],
    ids=["before a blank", "before several", "before a line end", "after a mark", "within a word", "japanese"],
)
def test_piece_ends_at_the_best_place(text: str, first: str) -> None:
    """In its second half, so that few words are divided."""
    start, end = next(text_pieces(text, 10))
    assert text[start:end] == first
