"""The fair queue: which pairs form the next batch.

Each live request gets its share of the computed tokens, and a batch holds pairs of similar length.

The method is weighted fair queueing (Demers, Keshav and Shenker, 1989; Parekh and Gallager, 1993), counted in padded
tokens:

- A request is served in rounds. Its first round has up to `FIRST_ROUND_BATCHES` batches, enough to finish a small
  request; later rounds have one batch each.
- The finish tag of a round is the virtual time at which it would end if all requests ran at once, each at its share.
- The next batch starts with the request that has the lowest finish tag among those with the lowest priority number. It
  is filled with pairs of similar length from any request.
- A request is small if its pairs fit in its first round. While one waits, and for the next `BATCHES_AFTER_SMALL`
  batches, pairs of large requests fill a batch only up to `min_tokens`. So a small request waits for fewer of them.

So no request finishes later than if all had run at once, apart from a few batches, and most finish earlier. Of many
small requests the first finishes before the last starts, and 10 documents overtake 10,000.

Rule 1: pure. No clock, no lock, no I/O: the calls alone decide what happens.
Rule 2: the cost of a call does not grow with the number of live requests, but by its logarithm: `urgency_line.py`.
Rule 3: every `OLDEST_EVERY`th batch starts with the pair that has waited longest, whatever its request. So a pair with
k older pairs before it runs within (k + 1) * OLDEST_EVERY batches, whatever arrives later and whatever its priority.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Generic, TypeVar

from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.memory_budget import TokenBudget
from rerank_service.scheduling.urgency_line import Urgency, UrgencyLine

Request = TypeVar("Request", bound=Hashable)
Item = TypeVar("Item")

OLDEST_EVERY = 8
"""One batch in this many starts with the pair that has waited longest."""
FIRST_ROUND_BATCHES = 8
"""Maximum number of batches in a request's first round."""
BATCHES_AFTER_SMALL = 8
"""Number of batches after a small request in which pairs of large requests stay few: its client often sends another
one."""
_KEPT_ARRIVALS = 1024
"""Number of calls of `add` that are kept in the order of arrival, beyond twice the pairs that wait."""
MAX_SKIPPED = 4096
"""Maximum number of pairs skipped for one batch, so that the caller's lock is not held for long."""


@dataclass(slots=True, eq=False)
class _Share(Generic[Item]):
    """The waiting pairs of one request, and its progress."""

    priority: int
    weight: float
    number: int
    """Order of arrival."""
    finish_tag: float = field(init=False, default=-math.inf)
    """Virtual time at which the current round ends."""
    round_tokens: int = field(init=False, default=0)
    """Padded tokens that the current round still gets."""
    is_small: bool = field(init=False, default=True)
    """True if its pairs fit in its first round."""
    pairs: dict[int, deque[tuple[int, Item]]] = field(init=False, default_factory=dict)
    """Arrival number and item of each pair, by padded length, oldest first."""

    @property
    def urgency(self) -> Urgency:
        """Sort key: the share with the lowest value is served next. It never decreases."""
        return self.priority, self.finish_tag, self.number

    def start_round(self, tokens: int) -> None:
        """Start a round of that many padded tokens."""
        self.finish_tag += tokens / self.weight
        self.round_tokens += tokens

    def oldest(self) -> tuple[int, int]:
        """Return arrival number and padded length of the pair that has waited longest. A pair must wait."""
        return min((waiting[0][0], length) for length, waiting in self.pairs.items())

    def waits(self, number: int) -> bool:
        """Return whether a pair waits that arrived not later than the one with this number."""
        return bool(self.pairs) and self.oldest()[0] <= number

    def pop(self, length: int) -> Item:
        """Remove and return the oldest pair of a padded length."""
        waiting = self.pairs[length]
        item = waiting.popleft()[1]
        if not waiting:
            del self.pairs[length]
        return item


class FairQueue(Generic[Request, Item]):
    """The waiting pairs of all live requests."""

    def __init__(self, limits: BatchLimits, *, lanes: int) -> None:
        """`lanes` is the number of batches that run at once."""
        self._limits = limits
        self._lanes = lanes
        self._batch_tokens = limits.max_tokens
        self._shares: dict[Request, _Share[Item]] = {}
        self._line: UrgencyLine[_Share[Item]] = UrgencyLine()
        """The shares with waiting pairs."""
        self._lines: dict[int, UrgencyLine[_Share[Item]]] = {}
        """The shares with pairs of each padded length."""
        self._weight = Fraction()
        """Sum of the weights of shares with waiting pairs: exact, so that it does not drift."""
        self._arrived: deque[tuple[int, _Share[Item]]] = deque()
        """Number of the last pair and the share of each call of `add`, oldest first; also if no such pair waits now."""
        self._arrivals = 0
        self._batches_taken = 0
        self._small = 0
        """Number of small requests with waiting pairs."""
        self._batches_since_small = BATCHES_AFTER_SMALL
        """Number of batches since one for which a small request waited."""
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
        added = sum(lengths)
        if not share.pairs:
            share.finish_tag = max(share.finish_tag, self._virtual_time)  # an unused share is not saved
            first_round = min(added, FIRST_ROUND_BATCHES * self._batch_tokens)
            share.start_round(first_round)
            share.is_small = added == first_round
            if items:
                self._weight += Fraction(share.weight)
                self._small += share.is_small
                self._line.add(share)
        elif items and share.is_small:  # the first round is that of its earlier pairs
            share.is_small = False
            self._small -= 1
        for length, (_, item) in zip(lengths, items, strict=True):
            if length not in share.pairs:
                share.pairs[length] = deque()
                self._lines.setdefault(length, UrgencyLine()).add(share)
            share.pairs[length].append((self._arrivals, item))
            self._arrivals += 1
        if items:
            self._arrived.append((self._arrivals - 1, share))
        self.tokens += added
        self.pairs += len(items)

    @property
    def batch_tokens(self) -> int:
        """Maximum padded tokens of the next batches of large requests: fewer beside small requests."""
        return min(self._limits.min_tokens, self.budget.tokens) if self._is_beside_small else self.budget.tokens

    @property
    def _is_beside_small(self) -> bool:
        return self._small > 0 or self._batches_since_small < BATCHES_AFTER_SMALL

    def __contains__(self, request: Request) -> bool:
        """Return True while a request is live."""
        return request in self._shares

    def leave(self, request: Request) -> None:
        """Remove a live request and its waiting pairs."""
        share = self._shares.pop(request)
        for length, waiting in share.pairs.items():
            self.tokens -= length * len(waiting)
            self.pairs -= len(waiting)
            self._leave_line(share, length)
        if share.pairs:
            self._stop_waiting(share)
            share.pairs.clear()

    def _stop_waiting(self, share: _Share[Item]) -> None:
        self._weight -= Fraction(share.weight)
        self._small -= share.is_small
        self._line.remove(share)

    def _leave_line(self, share: _Share[Item], length: int) -> None:
        line = self._lines[length]
        line.remove(share)
        if not len(line):
            del self._lines[length]

    def take(
        self, skip: Callable[[Item], bool] | None = None, max_rows: Callable[[int], int] | None = None
    ) -> list[Item]:
        """Remove and return the items of the next batch; an empty list if no pair waits.

        `skip` is called once with each pair whose turn has come. If it returns True, the pair does not run: it leaves
        the queue at no cost to its request. If all pairs are skipped, the list is empty although others may still wait.
        `max_rows` returns the maximum number of rows for a padded length; None: no limit beyond those of the queue.
        """
        if not self.pairs:
            return []
        self._batches_taken += 1
        first, length = self._oldest() if self._batches_taken % OLDEST_EVERY == 0 else self._most_urgent()
        rows = self._max_rows(length) if max_rows is None else min(self._max_rows(length), max_rows(length))
        weight = float(self._weight)
        rows_with_large = self._max_rows_with_large(length)
        self._batches_since_small = 0 if self._small else self._batches_since_small + 1
        chosen = list(self._fill(length, rows, rows_with_large, first, skip))
        if chosen:
            batch_length = max(length for _, length, _ in chosen)
            self._charge([share for share, _, _ in chosen], batch_length, weight)
        return [item for _, _, item in chosen]

    def _most_urgent(self) -> tuple[_Share[Item], int]:
        """Return the share that is served next, and the padded length of its longest pair."""
        share = self._line.first()
        return share, max(share.pairs)

    def _oldest(self) -> tuple[_Share[Item], int]:
        """Return share and padded length of the pair that has waited longest."""
        if len(self._arrived) > 2 * self.pairs + _KEPT_ARRIVALS:
            self._arrived = deque(entry for entry in self._arrived if entry[1].waits(entry[0]))
        while not self._arrived[0][1].waits(self._arrived[0][0]):
            self._arrived.popleft()
        share = self._arrived[0][1]
        return share, share.oldest()[1]

    def _max_rows(self, length: int) -> int:
        """Return the maximum number of rows of a batch whose longest pair has this padded length.

        Near the end of the queue batches become smaller, so that no lane has a large batch while others have none
        (guided self-scheduling, Polychronopoulos and Kuck, 1987).
        """
        guided = max(self._limits.min_tokens, self.tokens // (2 * self._lanes))
        tokens = min(self.budget.tokens, guided)
        return max(1, min(self._limits.max_pairs, tokens // length))

    def _max_rows_with_large(self, length: int) -> int:
        """Return the number of rows from which on pairs of large requests are not added to a batch."""
        return max(1, self._limits.min_tokens // length) if self._is_beside_small else self._limits.max_pairs

    def _fill(
        self, longest: int, rows: int, rows_with_large: int, first: _Share[Item], skip: Callable[[Item], bool] | None
    ) -> Iterator[tuple[_Share[Item], int, Item]]:
        """Yield share, padded length and item of each row of a batch.

        The most similar lengths come first, from any share. Pairs of one length come first from the share `first`, then
        in the order of the shares. A pair of a large request is only added to less than `rows_with_large` rows.
        """
        shortest = self._limits.min_length_ratio * longest
        inspections = rows + MAX_SKIPPED
        for length in sorted((length for length in self._lines if shortest <= length <= longest), reverse=True):
            while rows and inspections and length in self._lines:
                share = first if length in first.pairs else self._lines[length].first()
                if rows_with_large <= 0 and not share.is_small:
                    return
                inspections -= 1
                item = self._pop(share, length)
                if skip is None or not skip(item):
                    rows -= 1
                    rows_with_large -= 1
                    yield share, length, item

    def _pop(self, share: _Share[Item], length: int) -> Item:
        """Remove and return the oldest pair of a share with a padded length."""
        self.tokens -= length
        self.pairs -= 1
        item = share.pop(length)
        if length not in share.pairs:
            self._leave_line(share, length)
        if not share.pairs:
            self._stop_waiting(share)
        return item

    def _charge(self, rows: Sequence[_Share[Item]], length: int, weight: float) -> None:
        """Charge each row of a batch to its share, and advance the virtual time. `weight` is that of all shares that
        had waiting pairs before."""
        for share in rows:
            share.round_tokens -= length
            while share.round_tokens <= 0:
                share.start_round(self._batch_tokens)
        self._virtual_time += length * len(rows) / weight
