"""Response of tei.v1.Rerank."""

import asyncio

from rerank.tei import tei_pb2 as pb
from rerank_service.ranking.ranking import Ranking

_RANKS_PER_TURN = 1_000
"""Ranks that are added before other requests get a turn on the event loop."""
_UINT32_MAX = 2**32 - 1


async def response_from(ranking: Ranking, chars: int) -> pb.RerankResponse:
    """Return the response. `chars` is the number of characters of all queries and texts."""
    response = pb.RerankResponse()
    for number, ranked in enumerate(ranking, 1):
        response.ranks.add(index=ranked.index, text=ranked.document, score=ranked.relevance_score)
        if number % _RANKS_PER_TURN == 0:
            await asyncio.sleep(0)
    timing, metadata = ranking.timing, response.metadata
    metadata.compute_chars = min(chars, _UINT32_MAX)
    metadata.compute_tokens = min(ranking.usage.prompt_tokens, _UINT32_MAX)
    metadata.total_time_ns = _nanoseconds(timing.total)
    metadata.tokenization_time_ns = _nanoseconds(timing.tokenize)
    metadata.queue_time_ns = _nanoseconds(timing.queue)
    metadata.inference_time_ns = _nanoseconds(timing.inference)
    return response


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
