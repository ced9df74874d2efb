"""What one request costs, counted while it runs."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rerank_service.batching import EncodedPair
from rerank_service.ranking import Timing, Usage
from rerank_service.scheduler import Scored


class Meter:
    """Tokens and seconds of one request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is the scheduler's, so that its times and ours can be compared."""
        self._clock = clock
        self._begun = clock()
        self._tokenize = 0.0
        self._started = math.inf
        self._ended = 0.0
        self._document_tokens = 0
        self._prompt_tokens = 0
        self._padded_tokens = 0
        self._pairs = 0

    @contextmanager
    def tokenizing(self) -> Iterator[None]:
        """Count the time of the block."""
        begun = self._clock()
        try:
            yield
        finally:
            self._tokenize += self._clock() - begun

    def encoded(self, pairs: Sequence[EncodedPair]) -> None:
        """Count pairs on their way into the queue."""
        self._pairs += len(pairs)
        self._document_tokens += sum(len(pair.document) for pair in pairs)
        self._prompt_tokens += sum(map(len, pairs))

    def scored(self, part: Scored) -> None:
        """Count pairs that have run."""
        self._padded_tokens += part.padded_tokens
        self._started = min(self._started, part.started)
        self._ended = max(self._ended, part.ended)

    def usage(self, query_tokens: int) -> Usage:
        """Tokens of the request."""
        return Usage(query_tokens, self._document_tokens, self._padded_tokens, self._prompt_tokens, self._pairs)

    def timing(self, first_added: float | None) -> Timing:
        """Seconds of the request, from its beginning to now; `first_added` is when its first pair was queued."""
        assert first_added is not None
        return Timing(
            self._started - first_added, self._tokenize, self._ended - self._started, self._clock() - self._begun
        )
