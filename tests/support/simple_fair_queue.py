"""Reference of the fair queue: the rules of decisions/0005 in their simplest form, which looks at every request.

`tests/service/scheduling/test_fair_queue_reference.py` holds the queue of the service against it.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.fair_queue import (
    BATCHES_AFTER_SMALL,
    FIRST_ROUND_BATCHES,
    MAX_SKIPPED,
    OLDEST_EVERY,
)
from rerank_service.scheduling.memory_budget import TokenBudget

Request = TypeVar("Request", bound=Hashable)
Item = TypeVar("Item")


@dataclass(slots=True)
class _Share(Generic[Item]):
    """The waiting pairs of one request, and its progress."""

    priority: int
    weight: float
    number: int
    """Order of arrival."""
    finish_tag: float = -math.inf
    """Virtual time at which the current round ends."""
    round_tokens: int = 0
    """Padded tokens that the current round still gets."""
    is_small: bool = True
    """True if its pairs fit in its first round."""
    pairs: dict[int, deque[tuple[int, Item]]] = field(default_factory=dict)
    """Arrival number and item of each pair, by padded length, oldest first."""

    @property
    def urgency(self) -> tuple[int, float, int]:
        """Sort key: the share with the lowest value is served next."""
        return self.priority, self.finish_tag, self.number

    def start_round(self, tokens: int) -> None:
        """Start a round of that many padded tokens."""
        self.finish_tag += tokens / self.weight
        self.round_tokens += tokens

    def oldest(self) -> tuple[int, int]:
        """Return arrival number and padded length of the pair that has waited longest."""
        return min((waiting[0][0], length) for length, waiting in self.pairs.items())

    def pop(self, length: int) -> Item:
        """Remove and return the oldest pair of a padded length."""
        waiting = self.pairs[length]
        item = waiting.popleft()[1]
        if not waiting:
            del self.pairs[length]
        return item


class SimpleFairQueue(Generic[Request, Item]):
    """The waiting pairs of all live requests."""

    def __init__(self, limits: BatchLimits, *, lanes: int) -> None:
        """`lanes` is the number of batches that run at once."""
        self._limits = limits
        self._lanes = lanes
        self._batch_tokens = limits.max_tokens
        self._shares: dict[Request, _Share[Item]] = {}
        self._arrivals = 0
        self._batches_taken = 0
        self._last_small = -math.inf
        """Number of the last batch for which a small request waited."""
        self._virtual_time = 0.0
        """Padded tokens that a request of weight 1 would have received by now, had it waited from the beginning."""
        self.budget = TokenBudget(limits.max_tokens)
        """Maximum padded tokens of the next batches. The scheduler reports to it how batches ran."""
        self.tokens = 0
        """Padded tokens of all waiting pairs."""
        self.pairs = 0
        """Number of waiting pairs."""

    def enter(self, request: Request, *, priority: int = 0, weight: float = 1.0) -> None:
        """Register a live request. Lower priority numbers are served first; `weight` is its share, above 0."""
        self._shares[request] = _Share(priority, weight, self._arrivals)
        self._arrivals += 1

    def add(self, request: Request, items: Sequence[tuple[int, Item]]) -> None:
        """Add pairs of a live request, each as its length in tokens and the item that stands for it."""
        share = self._shares[request]
        lengths = [self._limits.padded(tokens) for tokens, _ in items]
        if not share.pairs:
            share.finish_tag = max(share.finish_tag, self._virtual_time)  # an unused share is not saved
            share.start_round(min(sum(lengths), FIRST_ROUND_BATCHES * self._batch_tokens))
            share.is_small = sum(lengths) <= FIRST_ROUND_BATCHES * self._batch_tokens
        elif items:
            share.is_small = False
        for length, (_, item) in zip(lengths, items, strict=True):
            share.pairs.setdefault(length, deque()).append((self._arrivals, item))
            self._arrivals += 1
        self.tokens += sum(lengths)
        self.pairs += len(items)

    def __contains__(self, request: Request) -> bool:
        """Return True while a request is live."""
        return request in self._shares

    def leave(self, request: Request) -> None:
        """Remove a live request and its waiting pairs."""
        share = self._shares.pop(request)
        for length, waiting in share.pairs.items():
            self.tokens -= length * len(waiting)
            self.pairs -= len(waiting)

    def take(
        self, skip: Callable[[Item], bool] | None = None, max_rows: Callable[[int], int] | None = None
    ) -> list[Item]:
        """Remove and return the items of the next batch; an empty list if no pair waits.

        `skip` is called once with each pair whose turn has come. If it returns True, the pair does not run: it leaves
        the queue at no cost to its request. If all pairs are skipped, the list is empty although others may still wait.
        `max_rows` returns the maximum number of rows for a padded length; None: no limit beyond those of the queue.
        """
        waiting = [share for share in self._shares.values() if share.pairs]
        if not waiting:
            return []
        self._batches_taken += 1
        if self._batches_taken % OLDEST_EVERY == 0:
            first = min(waiting, key=_Share.oldest)
            length = first.oldest()[1]
        else:
            first = min(waiting, key=lambda share: share.urgency)
            length = max(first.pairs)
        rows = self._max_rows(length) if max_rows is None else min(self._max_rows(length), max_rows(length))
        others = sorted((share for share in waiting if share is not first), key=lambda share: share.urgency)
        if any(share.is_small for share in waiting):
            self._last_small = self._batches_taken
        many = self._batches_taken - self._last_small > BATCHES_AFTER_SMALL
        rows_with_large = rows if many else max(1, self._limits.min_tokens // length)
        chosen = list(self._fill(length, rows, rows_with_large, (first, *others), skip))
        if chosen:
            batch_length = max(length for _, length, _ in chosen)
            self._charge([share for share, _, _ in chosen], batch_length, waiting)
        return [item for _, _, item in chosen]

    def _max_rows(self, length: int) -> int:
        """Return the maximum number of rows of a batch whose longest pair has this padded length.

        Near the end of the queue batches become smaller, so that no lane has a large batch while others have none
        (guided self-scheduling, Polychronopoulos and Kuck, 1987).
        """
        guided = max(self._limits.min_tokens, self.tokens // (2 * self._lanes))
        tokens = min(self.budget.tokens, guided)
        return max(1, min(self._limits.max_pairs, tokens // length))

    def _fill(
        self,
        longest: int,
        rows: int,
        rows_with_large: int,
        shares: Sequence[_Share[Item]],
        skip: Callable[[Item], bool] | None,
    ) -> Iterator[tuple[_Share[Item], int, Item]]:
        """Yield share, padded length and item of each row of a batch.

        The most similar lengths come first, from any share; pairs of one length come in the order of the shares. A pair
        of a large request is only added to less than `rows_with_large` rows.
        """
        shortest = self._limits.min_length_ratio * longest
        lengths = {length for share in shares for length in share.pairs if shortest <= length <= longest}
        inspections = rows + MAX_SKIPPED
        for length, share in itertools.product(sorted(lengths, reverse=True), shares):
            while rows and inspections and length in share.pairs:
                if rows_with_large <= 0 and not share.is_small:
                    return
                inspections -= 1
                self.tokens -= length
                self.pairs -= 1
                item = share.pop(length)
                if skip is None or not skip(item):
                    rows -= 1
                    rows_with_large -= 1
                    yield share, length, item

    def _charge(self, rows: Sequence[_Share[Item]], length: int, waiting: Sequence[_Share[Item]]) -> None:
        """Charge each row of a batch to its share, and advance the virtual time."""
        for share in rows:
            share.round_tokens -= length
            while share.round_tokens <= 0:
                share.start_round(self._batch_tokens)
        self._virtual_time += length * len(rows) / sum(share.weight for share in waiting)
