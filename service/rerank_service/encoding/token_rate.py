"""Estimate how many tokens a text has from its length."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_ENGLISH = 0.25
"""Tokens per character of English text."""
_MIN_RATE, _MAX_RATE = 0.15, 1.0
"""Range of rates that are learned, so that one caller's unusual texts do not spoil the estimates for others."""
_MAX_WEIGHT = 0.1
"""Maximum weight of one call's texts against all earlier texts."""
_CHARS_OF_WEIGHT_1 = 50_000
"""The weight of a call is its number of characters divided by this, up to the maximum."""


class TokenRate:
    """Tokens per character: first the rate of English text, then learned from the texts that are tokenized."""

    def __init__(self) -> None:
        self.tokens_per_char = _ENGLISH

    def learn(self, chars: int, tokens: int) -> None:
        """Learn from texts of `chars` characters that have `tokens` tokens."""
        if chars:
            weight = min(_MAX_WEIGHT, chars / _CHARS_OF_WEIGHT_1)
            rate = min(_MAX_RATE, max(_MIN_RATE, tokens / chars))
            self.tokens_per_char += weight * (rate - self.tokens_per_char)


class TextRates(NamedTuple):
    """Tokens per character at one time. The index is True for dense texts, and False for others."""

    other: float
    dense: float


class TokenizedText(NamedTuple):
    """A text, or a part of it, that was tokenized."""

    is_dense: bool
    chars: int
    tokens: int


@dataclass(frozen=True, slots=True)
class TokenRates:
    """The token rates of a model. Dense texts have one of their own: a Chinese text has three times as many tokens per
    character as an English one, and callers who send one must not spoil the estimates of the other."""

    other: TokenRate = field(default_factory=TokenRate)
    dense: TokenRate = field(default_factory=TokenRate)

    @property
    def now(self) -> TextRates:
        """The rates that were learned by now."""
        return TextRates(self.other.tokens_per_char, self.dense.tokens_per_char)

    def learn(self, texts: Iterable[TokenizedText]) -> None:
        """Learn from the texts of one call."""
        chars, tokens = [0, 0], [0, 0]
        for text in texts:
            chars[text.is_dense] += text.chars
            tokens[text.is_dense] += text.tokens
        for is_dense, rate in enumerate((self.other, self.dense)):
            rate.learn(chars[is_dense], tokens[is_dense])
