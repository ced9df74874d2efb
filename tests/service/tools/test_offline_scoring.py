"""Scores of a model in this process."""

from types import SimpleNamespace
from typing import Any

import pytest

from rerank_service.errors import NotReady
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools import offline_scoring
from rerank_service.tools.offline_scoring import Refusal, local_scorer
from support.limits import batch_limits, request_limits
from support.running import HeldScore, build_held
from support.small import BOOM

_OPTIONS: Any = SimpleNamespace()


@pytest.fixture
def held(small_model: Bundle, monkeypatch: pytest.MonkeyPatch) -> HeldScore:
    """Let the small model be loaded. It records its batches."""
    model, held = build_held(small_model, limits=batch_limits(), lanes=1)
    monkeypatch.setattr(offline_scoring, "load_selected", lambda _: model)
    return held


async def test_a_query_on_which_a_working_model_fails_is_refused(held: HeldScore) -> None:
    """The scheduler has checked the model then: there are two batches, that of the document and the check."""
    async with local_scorer(_OPTIONS, request_limits()) as scorer:
        assert await scorer.score("0", [BOOM]) == Refusal("the model failed on documents[0]")
    assert len(held.batches) == 2


async def test_a_model_that_scores_nothing_ends_the_block(held: HeldScore) -> None:
    """The query only knows that the model has stopped."""
    held.fail()
    with pytest.raises(NothingScored, match=r"^model 'small' does not score a short pair either: the model failed"):
        async with local_scorer(_OPTIONS, request_limits()) as scorer:
            with pytest.raises(NotReady):
                await scorer.score("0", ["1"])
