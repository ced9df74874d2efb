"""The text of the pair that shows that a scorer is broken."""

import asyncio

import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.models.warm_up import short_pair
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.remote_scorer import RemoteScorer
from rerank_service.tools.server_address import server_address
from rerank_service.tools.short_text import short_text
from support.running import Running, running, served


def test_short_texts_differ() -> None:
    """A pair of such texts was never scored before."""
    assert len({short_text() for _ in range(10)}) > 1


async def test_a_score_cache_does_not_hide_a_broken_engine(small_model: Bundle) -> None:
    """Short pairs were scored before the engine broke. The server has a cache with their scores."""
    async with running(small_model, scores=ScoreCache(2**20)) as core, served(core) as edges:
        await asyncio.to_thread(_job, edges.address, core)


def _job(address: str, core: Running) -> None:
    with RemoteScorer(server_address(address), api_key=None, model="", options={}) as scorer:
        for _ in range(3):
            scorer.check_options()
        core.score.fail(but=short_pair(core.model.tokenizer))  # else the server ends
        with pytest.raises(NothingScored, match="the server does not score a short pair either: "):
            scorer.submit(Pairs(["q", "q"], ["1", "2"]))()
