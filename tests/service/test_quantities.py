"""Counts, durations and figures in messages."""

import pytest

from rerank_service.quantities import about, counted, duration, rounded


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "document", "0 documents"),
        (1, "document", "1 document"),
        (1.2, "token", "1 token"),
        (1234567, "byte", "1,234,567 bytes"),
        (1, "query", "1 query"),
        (2, "query", "2 queries"),
        (2, "key", "2 keys"),
        (2, "batch", "2 batches"),
        (3, "pass", "3 passes"),
    ],
)
def test_counted_uses_singular_and_plural(number: float, noun: str, words: str) -> None:
    """Only 1 is singular."""
    assert counted(number, noun) == words


def test_counted_accepts_an_irregular_plural() -> None:
    """Such as indices."""
    assert [counted(number, "index", "indices") for number in (1, 2)] == ["1 index", "2 indices"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "less than 1 ms"),
        (0.0004, "less than 1 ms"),
        (0.012, "12 ms"),
        (0.9996, "1.0 s"),
        (1.24, "1.2 s"),
        (9.96, "10 s"),
        (75.4, "75 s"),
        (3600, "3,600 s"),
    ],
)
def test_duration_is_rounded_and_never_zero(seconds: float, words: str) -> None:
    """It has no needless digit."""
    assert duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.0001, "less than 1 ms"), (0.012, "about 12 ms"), (75, "about 75 s")])
def test_an_estimate_is_about_a_duration(seconds: float, words: str) -> None:
    """A bound is not."""
    assert about(seconds) == words


def test_rounded_has_three_significant_digits() -> None:
    """Such as a slope."""
    assert [rounded(value) for value in (0.3249644074344489, -1.5, 0.0)] == ["0.325", "-1.5", "0"]
