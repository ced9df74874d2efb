"""The pairs of one request: they are queued as they become known, and returned as they are scored.

Rule: a Submission is used on the event loop only.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rerank_service.scheduling.batching import EncodedPair, KeyedPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Logits of pairs that ran in one batch, or that were known before.

    All sequences have one length; only `pairs` may be empty.
    """

    indexes: Sequence[int]
    """Position of each pair's document in the request, from 0."""
    windows: Sequence[int]
    """Window of each pair within its document, from 0."""
    logits: Sequence[float]
    started: float
    """Start of the batch, in seconds on the scheduler's clock."""
    ended: float
    """End of the batch, in seconds on the scheduler's clock."""
    pairs: Sequence[EncodedPair] = ()
    """The pairs, if they ran for this request; empty if the logits were known before."""
    padded_tokens: int = 0
    """Tokens computed for these pairs, padding included."""
    own_tokens: int = 0
    """Tokens of these pairs as admission counts them: each padded alone."""
    shared: int = 0
    """Number of pairs that ran for another request."""

    @property
    def tokens(self) -> int:
        """Tokens of the pairs that ran for this request, without padding."""
        return sum(map(len, self.pairs))


@dataclass(frozen=True, slots=True, eq=False)
class WaitingPair:
    """A pair in the queue."""

    owner: "Submission"
    index: int
    """Position of the document in the request, from 0."""
    pair: EncodedPair
    key: bytes | None
    """Key of the pair. None: the pair is not shared with other requests."""


ScoredPair = tuple[WaitingPair, float]
"""A pair with its logit."""

Enqueue = Callable[["Submission", Sequence[WaitingPair]], None]
"""Put pairs of a submission into the queue."""


class Submission:
    """The pairs of one request.

    Iterate over it for `Scored` parts. The iteration ends when `finish` was called and all pairs are scored, or when
    `end_early` was called. It raises the error if `fail` was called.
    """

    def __init__(self, enqueue: Enqueue, clock: Callable[[], float], room: int) -> None:
        """`room` is the maximum number of pairs in progress; `clock` is the scheduler's."""
        self._enqueue = enqueue
        self._clock = clock
        self._room = room
        self._added = 0
        self._taken = 0
        self._scored: deque[Scored] = deque()
        self._late: list[Scored] = []
        """Parts that were scored after `end_early`."""
        self._after_end: Callable[[Scored], None] | None = None
        self._finished = False
        self._ended_early = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self.first_added: float | None = None
        """Time when the first pair entered the queue, in seconds on the scheduler's clock."""

    async def add(self, pairs: Sequence[KeyedPair]) -> None:
        """Queue pairs.

        Waits while `room` pairs of this submission are in progress: not scored, or scored but not yet taken by the
        iteration.

        Raises:
            NotReady: the scheduler has stopped.
        """
        while self._added - self._taken >= self._room and self._error is None:
            self._has_room.clear()
            await self._has_room.wait()
        self._added += len(pairs)
        if pairs and self.first_added is None:
            self.first_added = self._clock()
        self._enqueue(self, [WaitingPair(self, keyed.index, keyed.pair, keyed.key) for keyed in pairs])

    def add_known(
        self, indexes: Sequence[int], logits: Sequence[float], *, windows: Sequence[int] = (), shared: int = 0
    ) -> None:
        """Deliver pairs whose logits are known. Without `windows`, each pair is the first window of its document.

        `shared` is the number of pairs that ran for another request.
        """
        now = self._clock()
        self._added += len(indexes)
        self.deliver(
            Scored(
                indexes=indexes,
                windows=windows or [0] * len(indexes),
                logits=logits,
                started=now,
                ended=now,
                shared=shared,
            )
        )

    def finish(self) -> None:
        """Declare that no more pairs will be added."""
        self._finished = True
        if self.is_complete:  # else the last part wakes the iteration
            self._changed.set()

    def fail(self, error: Exception) -> None:
        """Let the iteration raise the error, after the parts that are scored by now. Only the first error counts."""
        self._error = self._error or error
        self._changed.set()
        self._has_room.set()

    def end_early(self) -> None:
        """End the iteration after the parts that are scored by now. `end` returns later ones."""
        self._ended_early = True
        self._changed.set()

    @property
    def has_ended_early(self) -> bool:
        """True after `end_early`."""
        return self._ended_early

    @property
    def is_complete(self) -> bool:
        """True when `finish` was called and all pairs were scored and taken."""
        return self._finished and self._taken == self._added

    def deliver(self, part: Scored) -> None:
        """Accept the logits of some pairs from the scheduler."""
        if self._after_end is not None:
            self._after_end(part)
        elif self._ended_early:
            self._late.append(part)
        else:
            self._scored.append(part)
            self._changed.set()

    def end(self, after_end: Callable[[Scored], None]) -> list[Scored]:
        """End the submission. Return the parts that the iteration has not taken, and forget them.

        `after_end` receives the parts of batches that run on: those that cannot stop, or that another request needs.
        """
        self._after_end = after_end
        rest = [*self._scored, *self._late]
        self._scored.clear()
        self._late.clear()
        return rest

    def __aiter__(self) -> "Submission":
        return self

    async def __anext__(self) -> Scored:
        while not self._scored:
            if self.is_complete:  # also if the scheduler fails all requests at this moment
                raise StopAsyncIteration
            if self._error is not None:
                try:
                    raise self._error
                finally:
                    # the error leads to frames with this submission: kept, only the garbage collector would free both
                    self._error = None
            if self._ended_early:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        part = self._scored.popleft()
        self._taken += len(part.indexes)
        self._has_room.set()
        return part


@asynccontextmanager
async def feeding(feed: Callable[[Submission], Awaitable[None]], submission: Submission) -> AsyncIterator[None]:
    """Run `feed` concurrently with the block, and cancel it at the end of the block.

    When the feed ends, the submission is finished. When it fails, the iteration over the submission raises its error.
    If the block ends at once, the feed is not called.
    """

    async def run() -> None:
        try:
            await feed(submission)
        except Exception as error:  # noqa: BLE001 - the iteration over the submission raises it
            submission.fail(error)
        else:
            submission.finish()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        if not task.done():  # to wait takes two turns of the event loop, also if the task has ended
            task.cancel()
            await asyncio.wait([task])
