"""What one request costs, counted while it runs."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.ranking.results import Timing, Usage
from rerank_service.scheduling.submission import Scored


class UsageMeter:
    """Tokens and seconds of one request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is the scheduler's, so that its times and ours can be compared."""
        self._clock = clock
        self._begun = clock()
        self._tokenize = 0.0
        self._started = math.inf
        self._ended = 0.0
        self._settled = 0.0
        self._document_tokens = 0
        self._prompt_tokens = 0
        self._padded_tokens = 0
        self._pairs = 0
        self._shared_pairs = 0
        self.query_tokens = 0

    @contextmanager
    def tokenizing(self) -> Iterator[None]:
        """Count the time of the block."""
        begun = self._clock()
        try:
            yield
        finally:
            self._tokenize += self._clock() - begun

    def scored(self, part: Scored) -> None:
        """Count pairs that have run."""
        self._settled = max(self._settled, part.ended)
        self._shared_pairs += part.shared
        if not part.pairs:
            return
        self._pairs += len(part.pairs)
        self._document_tokens += sum(len(pair.document) for pair in part.pairs)
        self._prompt_tokens += sum(map(len, part.pairs))
        self._padded_tokens += part.padded_tokens
        self._started = min(self._started, part.started)
        self._ended = max(self._ended, part.ended)

    def usage(self) -> Usage:
        """Tokens of the request."""
        return Usage(
            query_tokens=self.query_tokens,
            document_tokens=self._document_tokens,
            padded_tokens=self._padded_tokens,
            prompt_tokens=self._prompt_tokens,
            pairs=self._pairs,
            shared_pairs=self._shared_pairs,
        )

    def timing(self, first_added: float | None) -> Timing:
        """Seconds of the request, from its beginning to now; `first_added` is when its first pair was queued."""
        # where nothing ran for this request, its pairs waited until others' had run
        queued_until = min(self._started, self._settled)
        return Timing(
            queue=max(0.0, queued_until - first_added) if first_added is not None else 0.0,
            tokenize=self._tokenize,
            inference=max(0.0, self._ended - self._started),
            total=self._clock() - self._begun,
        )
