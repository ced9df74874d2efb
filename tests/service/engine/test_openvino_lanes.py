"""Lanes on OpenVINO: they share one session, and each score is that of a batch that runs alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rerank_service.engine.available import ENGINES, works
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import Engine, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch

LANES = 3
"""More than the cores of a small machine."""
SHAPES = ((1, 16), (7, 48), (3, 112), (2, 16))
"""Pairs and tokens of batches that run at the same time."""
WORKING = [engine for engine in ENGINES if engine.provider is Provider.OPENVINO and works(engine)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """The cache of derived graphs."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", params=WORKING, ids=str)
def encoder(request: pytest.FixtureRequest, starter: Bundle, cache: Cache) -> CrossEncoder:
    """The starter on an engine of OpenVINO."""
    engine: Engine = request.param
    return CrossEncoder(graph_for(starter, engine, cache), engine, lanes=LANES)


def _batches(encoder: CrossEncoder) -> list[Batch]:
    """Return a batch of each shape, with another number of tokens in each row."""
    generator, padded = np.random.default_rng(3), default_limits(encoder.engine).length_multiple
    batches = []
    for rows, length in SHAPES:
        ids = generator.integers(1_000, 20_000, (rows, length))
        mask = (np.arange(length) < length - generator.integers(0, padded, (rows, 1))).astype(np.int64)
        batches.append(Batch(ids * mask, mask, np.zeros_like(ids)))
    return batches


def _scores(encoder: CrossEncoder, batch: Batch, token: CancelToken | None = None) -> list[float]:
    return [float(score) for score in encoder.score(batch, token)]


def test_batches_at_the_same_time_have_the_scores_of_single_ones(encoder: CrossEncoder) -> None:
    """Equal to the bit, in batches of different shapes."""
    batches = _batches(encoder)
    alone = [_scores(encoder, batch) for batch in batches]
    start = threading.Barrier(LANES)

    def lane(number: int) -> list[list[float]]:
        start.wait()
        return [_scores(encoder, batches[(number + step) % len(batches)]) for step in range(len(batches))]

    with ThreadPoolExecutor(LANES) as pool:
        together = list(pool.map(lane, range(LANES)))
    for number, scores in enumerate(together):
        assert scores == [alone[(number + step) % len(batches)] for step in range(len(batches))]


def test_number_of_lanes_does_not_change_a_score(encoder: CrossEncoder, starter: Bundle, cache: Cache) -> None:
    """A server with one lane gives the same scores."""
    single = CrossEncoder(graph_for(starter, encoder.engine, cache), encoder.engine)
    for batch in _batches(encoder):
        assert _scores(single, batch) == _scores(encoder, batch)


def test_cancelled_batch_does_not_disturb_the_other_lanes(encoder: CrossEncoder) -> None:
    """A batch that is cancelled before it runs is not computed. The session stays usable."""
    batches = _batches(encoder)
    alone = [_scores(encoder, batch) for batch in batches]

    def lane(number: int) -> list[float] | None:
        token = CancelToken()
        if number % 2:
            token.cancel()
        try:
            return _scores(encoder, batches[number % len(batches)], token)
        except Exception:  # noqa: BLE001 - onnxruntime's error has no documented class
            return None

    with ThreadPoolExecutor(LANES) as pool:
        results = list(pool.map(lane, range(4 * LANES)))
    for number, scores in enumerate(results):
        assert scores == (None if number % 2 else alone[number % len(batches)])
