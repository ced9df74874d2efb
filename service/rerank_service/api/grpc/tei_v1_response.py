"""Response of tei.v1.Rerank, built from the rankings of one or more runs of texts."""

import asyncio
from array import array

from rerank.tei import tei_pb2 as pb
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.results import Timing
from rerank_service.ranking.scores import ScoreType

_RANKS_PER_TURN = 1_000
"""Ranks that are added before other requests get a turn on the event loop."""
_UINT32_MAX = 2**32 - 1


class ResponseBuilder:
    """Collects the rankings of runs, and builds the response."""

    def __init__(self) -> None:
        self._response = pb.RerankResponse()
        self._logits = array("d")
        self._sorted = True
        self.tokens = 0
        """Tokens of all pairs."""
        self.query_truncated = False
        """True if a query was cut."""
        self.score_type = ScoreType.PROBABILITY
        """Meaning of the scores: that of the last run. All runs have the same."""
        self.timing = Timing(queue=0.0, tokenize=0.0, inference=0.0, total=0.0)
        """Sum of the times of all runs."""

    @property
    def texts(self) -> int:
        """Number of texts of the rankings so far."""
        return len(self._logits)

    async def add(self, ranking: Ranking) -> None:
        """Add the ranking of the next run."""
        start = self.texts
        self._logits.extend([0.0] * ranking.documents)
        for number, ranked in enumerate(ranking, 1):
            self._response.ranks.add(index=start + ranked.index, text=ranked.document, score=ranked.relevance_score)
            self._logits[start + ranked.index] = ranked.logit
            if number % _RANKS_PER_TURN == 0:
                await asyncio.sleep(0)
        self._sorted = not start
        self.tokens += ranking.usage.prompt_tokens
        self.query_truncated |= ranking.query_truncated
        self.score_type = ranking.score_type
        self.timing = _sum(self.timing, ranking.timing)

    def build(self, chars: int) -> pb.RerankResponse:
        """Return the response. `chars` is the number of characters of all queries and texts."""
        if not self._sorted:  # by logit: scores may be equal where logits differ
            self._response.ranks.sort(key=lambda rank: (-self._logits[rank.index], rank.index))
        metadata = self._response.metadata
        metadata.compute_chars = min(chars, _UINT32_MAX)
        metadata.compute_tokens = min(self.tokens, _UINT32_MAX)
        metadata.total_time_ns = _nanoseconds(self.timing.total)
        metadata.tokenization_time_ns = _nanoseconds(self.timing.tokenize)
        metadata.queue_time_ns = _nanoseconds(self.timing.queue)
        metadata.inference_time_ns = _nanoseconds(self.timing.inference)
        return self._response


def _sum(first: Timing, second: Timing) -> Timing:
    return Timing(
        queue=first.queue + second.queue,
        tokenize=first.tokenize + second.tokenize,
        inference=first.inference + second.inference,
        total=first.total + second.total,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
