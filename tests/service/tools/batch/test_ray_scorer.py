"""The scorer for Ray Data, called without Ray. tests/on_ray has a cluster."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.models.model_options import ModelOptions
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import ScoreType
from rerank_service.tools.batch.ray_scorer import ActorOptions, RayScorer
from support.limits import request_limits
from support.small import BOOM


@pytest.fixture
def scorer(small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayScorer:
    """Return a scorer with the small model."""
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # set by the scorer for its process
    request = RerankRequest(query="unused", score_type=ScoreType.RAW)
    model = ModelOptions(folder=small_model.folder, cache=tmp_path)
    return RayScorer(ActorOptions(model, request_limits(), request), 1)


def _column(*values: Any) -> np.ndarray:
    return np.array(values, np.object_)


def test_an_invalid_pair_is_an_error_of_its_row(scorer: RayScorer) -> None:
    """Null, a number and an empty query, as in `rerank batch`. The other pairs of the batch are scored."""
    scored = scorer(
        {
            "id": np.arange(6),
            "query": _column("q", "q", "", None, "q", "q"),
            "document": _column("1", None, "2", "3", f"4 {BOOM}", 5),
        }
    )
    np.testing.assert_array_equal(scored["score"], [1, np.nan, np.nan, np.nan, np.nan, np.nan])
    assert scored["error"].tolist() == [
        "",
        "document must be a string, not null",
        "query must not be empty",
        "query must be a string, not null",
        "the model failed on the document",
        "document must be a string, not a number",
    ]
    assert scored["id"].tolist() == list(range(6))


def test_a_batch_may_have_no_valid_pair(scorer: RayScorer) -> None:
    """A block of nulls, or no row."""
    scored = scorer({"query": _column(None), "document": _column(None)})
    np.testing.assert_array_equal(scored["score"], [np.nan])
    assert len(scorer({"query": _column(), "document": _column()})["score"]) == 0
