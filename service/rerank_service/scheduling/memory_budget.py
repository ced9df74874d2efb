"""Adapt the batch size to the memory of the device, which is not known beforehand.

The budget is halved when a batch runs out of memory, and raised a little with each large batch that runs: additive
increase, multiplicative decrease (Chiu and Jain, 1989). So a size that failed is tried again from time to time, and not
by each batch.

Rule: pure. No clock, no lock, no I/O.
"""

_RECOVERY_BATCHES = 1024
"""Number of batches in which the budget grows from 0 back to its maximum."""


class TokenBudget:
    """The maximum number of padded tokens in a batch, as far as memory allows."""

    def __init__(self, max_tokens: int) -> None:
        """`max_tokens` is the initial budget, and its maximum."""
        self._max_tokens = max_tokens
        self.tokens = max_tokens
        """Current budget in padded tokens; at least 1, since a batch of one pair may always run."""

    def shrink(self, tokens: int) -> None:
        """Halve the budget after a batch of `tokens` padded tokens ran out of memory."""
        self.tokens = max(1, min(self.tokens, tokens // 2))

    def grow(self, tokens: int) -> None:
        """Raise the budget after a batch of `tokens` padded tokens ran. A batch below half the budget proves nothing
        and changes nothing."""
        if 2 * tokens > self.tokens:
            self.tokens = min(self._max_tokens, self.tokens + max(1, self._max_tokens // _RECOVERY_BATCHES))
