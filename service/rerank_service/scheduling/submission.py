"""The pairs of one request: queued as they become known, returned as they are scored.

Rule: a Submission is used on the event loop only.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_service.scheduling.batching import EncodedPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Logits of pairs that ran in one batch, or whose logits were known before. All sequences have one length, apart
    from `pairs`."""

    positions: Sequence[int]
    """Positions that the pairs were added with."""
    windows: Sequence[int]
    """Window of each pair within its document, from 0."""
    logits: Sequence[float]
    started: float
    """Seconds on the scheduler's clock."""
    ended: float
    """Seconds on the scheduler's clock."""
    pairs: Sequence[EncodedPair] = ()
    """The pairs, where they ran for this request; empty where the logits were known before."""
    padded_tokens: int = 0
    """Tokens computed for these pairs, padding included."""
    own_tokens: int = 0
    """Tokens that the queue counted for these pairs: each padded alone."""
    shared: int = 0
    """Number of pairs that ran for another request."""


@dataclass(frozen=True, slots=True, eq=False)
class WaitingPair:
    """A pair in the queue."""

    owner: "Submission"
    position: int
    """Position in the request's documents."""
    pair: EncodedPair
    key: bytes | None
    """Digest of the pair's tokens, by which equal pairs of several requests are scored once. None: scored alone."""


Enqueue = Callable[["Submission", Sequence[WaitingPair]], None]
"""Put pairs of a submission into the queue."""


class Submission:
    """The pairs of one request.

    Iterating yields `Scored` parts until `finish` was called and all pairs are scored, or until `cut` was called.
    """

    def __init__(self, enqueue: Enqueue, clock: Callable[[], float], room: int) -> None:
        """`room` bounds how many pairs may be on their way; `clock` is the scheduler's."""
        self._enqueue = enqueue
        self._clock = clock
        self._room = room
        self._added = 0
        self._settled = 0
        self._scored: list[Scored] = []
        self._finished = False
        self._cut = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self.first_added: float | None = None
        """Time when the first pair entered the queue, in seconds on the scheduler's clock."""

    async def add(self, pairs: Sequence[tuple[int, EncodedPair]], keys: Sequence[bytes] = ()) -> None:
        """Queue pairs, each with its position; a pair with a key is scored together with others' of the same key.

        Waits while `room` pairs of this submission are on their way: not scored, or scored and not yet taken.
        """
        while self._added - self._settled >= self._room and self._error is None:
            self._has_room.clear()
            await self._has_room.wait()
        self._added += len(pairs)
        if pairs and self.first_added is None:
            self.first_added = self._clock()
        keyed = zip(pairs, keys or itertools.repeat(None), strict=False)
        self._enqueue(self, [WaitingPair(self, position, pair, key) for (position, pair), key in keyed])

    def repeat(
        self, positions: Sequence[int], logits: Sequence[float], *, windows: Sequence[int] = (), shared: int = 0
    ) -> None:
        """Deliver logits that are known already. Without `windows`, all pairs are first windows."""
        now = self._clock()
        self._added += len(positions)
        self.deliver(
            Scored(
                positions=positions,
                windows=windows or [0] * len(positions),
                logits=logits,
                started=now,
                ended=now,
                shared=shared,
            )
        )

    def finish(self, error: BaseException | None = None) -> None:
        """Announce that no more pairs will come. With an error, the iteration raises it."""
        self._finished = True
        self._error = self._error or error
        self._changed.set()
        self._has_room.set()

    def cut(self) -> None:
        """End the iteration after the parts that are scored by now."""
        self._cut = True
        self._changed.set()

    @property
    def whole(self) -> bool:
        """True when all pairs were scored and taken."""
        return self._finished and self._settled == self._added

    def deliver(self, part: Scored) -> None:
        """Take in the logits of some pairs. Called by the scheduler."""
        self._scored.append(part)
        self._changed.set()

    def __aiter__(self) -> "Submission":
        return self

    async def __anext__(self) -> Scored:
        while not self._scored:
            if self._error is not None:
                raise self._error
            if self.whole or self._cut:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        part = self._scored.pop(0)
        self._settled += len(part.positions)
        self._has_room.set()
        return part
