"""PURE: how many tokens a batch may have where the memory is not known beforehand.

Halved when a batch finds no memory, and raised a little with each that runs: additive increase, multiplicative decrease
(Chiu and Jain, 1989). So what a batch fails on is tried again now and then, and not by each batch.
"""

_STEPS = 1024
"""Batches in which the whole of a budget would be regained."""


class TokenBudget:
    """Padded tokens of a batch."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = most
        """At least 1: one row may always run."""

    def exceeded(self, tokens: int) -> None:
        """A batch of so many found no memory."""
        self.now = max(1, min(self.now, tokens // 2))

    def held(self, tokens: int) -> None:
        """A batch of so many ran. A small one shows nothing."""
        if 2 * tokens > self.now:
            self.now = min(self._most, self.now + max(1, self._most // _STEPS))
