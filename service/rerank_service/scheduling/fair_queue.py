"""Whose pairs run next: a fair share for every live request, pairs of like length together.

A request is served in rounds: one of up to `FIRST_ROUND` batches, in which a small request is done, then single ones.
A round's tag is where it would end if all requests ran at once, each at its share (weighted fair queueing: Demers,
Keshav and Shenker, 1989; Parekh and Gallager, 1993), counted in padded tokens. The next batch belongs to the request
with the lowest tag among those of the most urgent priority; it is filled with pairs of like length, whoever's they
are. So nobody is done later than if all had run at once, but for a few batches, and most are done earlier: of many
small requests the first ends before the last begins, and ten documents pass ten thousand.

Rule 1: pure. No clock, no lock, no socket: what happens follows from the calls alone.
Rule 2: every `PATIENCE`th batch holds the pair that has waited longest, whoever owns it. So a pair with k older ones
before it runs within (k + 1) * PATIENCE batches, whatever arrives later and however urgent that is.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rerank_service.scheduling.batching import BatchLimits

Request = TypeVar("Request", bound=Hashable)
Item = TypeVar("Item")

PATIENCE = 8
"""One in so many batches goes to the pair that has waited longest."""
FIRST_ROUND = 8
"""Batches of a request's first round, at most."""
LOOKS = 4096
"""Pairs that need not run are passed over for one batch, at most, so that the caller is not held up."""


@dataclass(slots=True)
class _Share(Generic[Item]):
    """One request's place: its pairs by padded length, each with the number of its arrival."""

    priority: int
    weight: float
    number: int
    tag: float = -math.inf
    """Where its round ends."""
    left: int = 0
    """Padded tokens that are still to be given in that round."""
    pairs: dict[int, deque[tuple[int, Item]]] = field(default_factory=dict)

    @property
    def urgency(self) -> tuple[int, float, int]:
        """The lowest runs next."""
        return self.priority, self.tag, self.number

    def begin(self, tokens: int) -> None:
        """Another round, of so many tokens."""
        self.tag += tokens / self.weight
        self.left += tokens

    def oldest(self) -> tuple[int, int]:
        """Arrival and padded length of the pair that has waited longest."""
        return min((waiting[0][0], length) for length, waiting in self.pairs.items())

    def pop(self, length: int) -> Item:
        """Take out the oldest pair of a length."""
        waiting = self.pairs[length]
        item = waiting.popleft()[1]
        if not waiting:
            del self.pairs[length]
        return item


class FairQueue(Generic[Request, Item]):
    """Pairs of live requests, waiting to run."""

    def __init__(self, limits: BatchLimits, *, lanes: int = 1) -> None:
        self._limits = limits
        self._lanes = lanes
        self._round = limits.max_tokens
        self._shares: dict[Request, _Share[Item]] = {}
        self._arrivals = 0
        self._takes = 0
        self.max_tokens = limits.max_tokens
        """Padded tokens of a batch, from now on."""
        self._level = 0.0
        """What a request of weight 1 would have been given by now, had it been here all the time."""
        self.tokens = 0
        """Padded tokens that wait."""
        self.pairs = 0
        """Pairs that wait."""

    def enter(self, request: Request, *, priority: int = 0, weight: float = 1.0) -> None:
        """A request is live from now on."""
        self._shares[request] = _Share(priority, weight, self._arrivals)
        self._arrivals += 1

    def add(self, request: Request, items: Sequence[tuple[int, Item]]) -> None:
        """More pairs of a live request: their lengths in tokens, and whatever stands for them."""
        share = self._shares[request]
        lengths = [self._limits.padded(tokens) for tokens, _ in items]
        if not share.pairs:
            share.tag = max(share.tag, self._level)  # a share that was not used is not saved
            share.begin(min(sum(lengths), FIRST_ROUND * self._round))
        for length, (_, item) in zip(lengths, items, strict=True):
            share.pairs.setdefault(length, deque()).append((self._arrivals, item))
            self._arrivals += 1
        self.tokens += sum(lengths)
        self.pairs += len(items)

    def __contains__(self, request: Request) -> bool:
        """Whether a request is live."""
        return request in self._shares

    def leave(self, request: Request) -> None:
        """A request is no longer live; what still waits of it is dropped."""
        share = self._shares.pop(request)
        for length, waiting in share.pairs.items():
            self.tokens -= length * len(waiting)
            self.pairs -= len(waiting)

    def take(self, spared: Callable[[Item], bool] | None = None) -> list[Item]:
        """The items of the batch to run now; none when nothing waits.

        `spared` is asked in turn of each pair whose turn has come, whether it need not run any more. Such a pair is
        gone from the queue, and costs its owner nothing; if they all are, there may be none in the batch.
        """
        waiting = [share for share in self._shares.values() if share.pairs]
        if not waiting:
            return []
        self._takes += 1
        if self._takes % PATIENCE == 0:
            owner = min(waiting, key=_Share.oldest)
            length = owner.oldest()[1]
        else:
            owner = min(waiting, key=lambda share: share.urgency)
            length = max(owner.pairs)
        rows = self._rows(length)
        others = sorted((share for share in waiting if share is not owner), key=lambda share: share.urgency)
        chosen = list(self._fill(length, rows, (owner, *others), spared))
        if chosen:
            self._charge([share for share, _, _ in chosen], max(own for _, own, _ in chosen), waiting)
        return [item for _, _, item in chosen]

    def _rows(self, length: int) -> int:
        """How many rows a batch may have. Near the end of the queue batches become smaller, so that no lane is left
        with a large one while the others have none (guided self-scheduling, Polychronopoulos and Kuck, 1987)."""
        guided = max(self._limits.min_tokens, self.tokens // (2 * self._lanes))
        budget = min(self.max_tokens, guided)
        return max(1, min(self._limits.max_pairs, budget // length))

    def _fill(
        self, longest: int, rows: int, shares: Sequence[_Share[Item]], spared: Callable[[Item], bool] | None
    ) -> Iterator[tuple[_Share[Item], int, Item]]:
        """The pair of each row, with its owner and padded length: of the lengths that are most alike first, whoever's
        they are, and of one length that of the first share."""
        lengths = sorted(
            {
                length
                for share in shares
                for length in share.pairs
                if self._limits.likeness * longest <= length <= longest
            },
            reverse=True,
        )
        looks = rows + LOOKS
        for length, share in itertools.product(lengths, shares):
            while rows and looks and length in share.pairs:
                looks -= 1
                self.tokens -= length
                self.pairs -= 1
                item = share.pop(length)
                if spared is None or not spared(item):
                    rows -= 1
                    yield share, length, item

    def _charge(self, owners: Sequence[_Share[Item]], length: int, waiting: Sequence[_Share[Item]]) -> None:
        for share in owners:
            share.left -= length
            while share.left <= 0:
                share.begin(self._round)
        self._level += length * len(owners) / sum(share.weight for share in waiting)
