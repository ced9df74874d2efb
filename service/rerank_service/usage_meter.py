"""Measure the usage of one request while it runs: tokens, pairs and seconds."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.ranking.results import Interval, Stages, Timing, Usage
from rerank_service.scheduling.submission import Scored


class UsageMeter:
    """Counts the tokens, pairs and seconds of one request. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is the scheduler's, in whose seconds the times of batches are."""
        self._clock = clock
        self._begun = clock()
        self._tokenize = 0.0
        self._tokenize_began = math.inf
        self._tokenize_ended = 0.0
        self._started = math.inf
        self._ended = 0.0
        self._last_scored = 0.0
        self._document_tokens = 0
        self._prompt_tokens = 0
        self._padded_tokens = 0
        self._pairs = 0
        self._shared_pairs = 0
        self.query_tokens = 0
        """Tokens of the query alone; set by the owner."""
        self.lead_tokens = 0
        """Tokens of the template that are tokenized together with each document; set by the owner."""

    @contextmanager
    def tokenizing(self) -> Iterator[None]:
        """Count the time of the block as tokenization."""
        begun = self._clock()
        try:
            yield
        finally:
            self._tokenize_began = min(self._tokenize_began, begun)
            self._tokenize_ended = self._clock()
            self._tokenize += self._tokenize_ended - begun

    def count(self, part: Scored) -> None:
        """Count pairs that were scored."""
        self._last_scored = max(self._last_scored, part.ended)
        self._shared_pairs += part.shared
        if not part.pairs:
            return
        self._pairs += len(part.pairs)
        self._document_tokens += sum(max(0, len(pair.document) - self.lead_tokens) for pair in part.pairs)
        self._prompt_tokens += part.tokens
        self._padded_tokens += part.padded_tokens
        self._started = min(self._started, part.started)
        self._ended = max(self._ended, part.ended)

    def usage(self) -> Usage:
        """Return tokens and pairs of the request."""
        return Usage(
            query_tokens=self.query_tokens,
            document_tokens=self._document_tokens,
            padded_tokens=self._padded_tokens,
            prompt_tokens=self._prompt_tokens,
            pairs=self._pairs,
            shared_pairs=self._shared_pairs,
        )

    def timing(self, first_added: float | None) -> Timing:
        """Return the times of the request until now. `first_added` is the time when its first pair was queued."""
        return Timing(
            queue=0.0 if first_added is None else self._queued_until(first_added) - first_added,
            tokenize=self._tokenize,
            inference=max(0.0, self._ended - self._started),
            total=self._clock() - self._begun,
        )

    def stages(self, first_added: float | None) -> Stages:
        """Return the intervals of the request until now. `first_added` is the time when its first pair was queued."""
        return Stages(
            tokenize=self._interval(self._tokenize_began, self._tokenize_ended),
            queue=None if first_added is None else self._interval(first_added, self._queued_until(first_added)),
            inference=self._interval(self._started, self._ended),
        )

    def _queued_until(self, first_added: float) -> float:
        # if no pair ran for this request, its pairs waited until those of other requests had run. If none was scored,
        # they wait still
        return max(first_added, min(self._started, self._last_scored or self._clock()))

    def _interval(self, began: float, ended: float) -> Interval | None:
        return None if began == math.inf else Interval(began - self._begun, ended - self._begun)
