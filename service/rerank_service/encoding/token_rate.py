"""Estimate how many tokens a text has from its length."""

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
