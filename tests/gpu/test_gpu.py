"""The CUDA provider on a real GPU: scores, ranking, lanes and memory. Run by `make gpu-test`; skipped without a GPU."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine import cuda
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.io_binding import BoundSession, CudaGraphSession
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.ranking_change import ranking_change
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import EncodedPair, Segment, collate
from support.limits import batch_limits

_WHY = cuda.unavailable_reason(Precision.FP16)
pytestmark = pytest.mark.skipif(_WHY is not None, reason=str(_WHY))

FP32 = Engine(Provider.CUDA, Precision.FP32)
FP16 = Engine(Provider.CUDA, Precision.FP16)
GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
Logits = NDArray[np.float32]
_QUERIES = 16
_CLOSE_FP32 = 1e-4
_CLOSE_FP16 = 5e-2
"""Maximum difference of a logit, where logits spread over ten. A CPU with fp16 between operators differs by 2e-3."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Return an empty cache for derived graphs."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def queries(starter: Bundle) -> list[list[EncodedPair]]:
    """Return pairs of the parity set, of all lengths."""
    return parity_set.encoded(
        PairTokenizer(starter.tokenizer, max_tokens=starter.manifest.max_tokens), max_queries=_QUERIES
    )


@pytest.fixture(scope="module")
def exact(starter: Bundle, queries: list[list[EncodedPair]]) -> list[Logits]:
    """Return the logits of these pairs in fp32 on the CPU."""
    encoder = CrossEncoder(starter.graph, CPU_FP32)
    return [logits(encoder.score, pairs, batch_limits(), starter.manifest.pad_id) for pairs in queries]


def _encoder(bundle: Bundle, engine: Engine, cache: Cache) -> CrossEncoder:
    return CrossEncoder(graph_for(bundle, engine, cache), engine, lanes=cuda.DEFAULT_LANES)


def _scored(bundle: Bundle, encoder: CrossEncoder, queries: list[list[EncodedPair]]) -> list[Logits]:
    limits = default_limits(encoder.engine)
    return [logits(encoder.score, pairs, limits, bundle.manifest.pad_id) for pairs in queries]


def test_fp32_equals_the_cpu(
    starter: Bundle, cache: Cache, queries: list[list[EncodedPair]], exact: list[Logits]
) -> None:
    """The provider does not use TF32."""
    scored = _scored(starter, _encoder(starter, FP32, cache), queries)
    np.testing.assert_allclose(np.concatenate(scored), np.concatenate(exact), rtol=0, atol=_CLOSE_FP32)


@pytest.mark.parametrize("engine", [FP16, GRAPHS], ids=str)
def test_ranking_in_fp16_matches_fp32(
    engine: Engine, starter: Bundle, cache: Cache, queries: list[list[EncodedPair]], exact: list[Logits]
) -> None:
    """Covers graphs without padding, and CUDA graphs: the second round replays the recorded shapes."""
    encoder = _encoder(starter, engine, cache)
    assert isinstance(encoder._runner, CudaGraphSession if engine.cuda_graphs else BoundSession)
    for _ in range(2):
        scored = _scored(starter, encoder, queries)
        np.testing.assert_allclose(np.concatenate(scored), np.concatenate(exact), rtol=0, atol=_CLOSE_FP16)
        assert ranking_change(exact, scored).beyond() == ()


@pytest.mark.parametrize("engine", [FP32, FP16, GRAPHS], ids=str)
def test_score_depends_little_on_the_other_pairs_of_a_batch(
    engine: Engine, starter: Bundle, cache: Cache, queries: list[list[EncodedPair]]
) -> None:
    """cuBLAS chooses kernels by shape, so scores are close, but not bit-identical."""
    encoder = _encoder(starter, engine, cache)
    limits = default_limits(engine)
    pairs = [query[0] for query in queries]
    alone = [encoder.score(collate([pair], pad_id=0, limits=limits))[0] for pair in pairs]
    close = _CLOSE_FP32 if engine is FP32 else _CLOSE_FP16
    np.testing.assert_allclose(encoder.score(collate(pairs, pad_id=0, limits=limits)), alone, rtol=0, atol=close)


@pytest.mark.parametrize("engine", [FP16, GRAPHS], ids=str)
def test_lanes_do_not_disturb_each_other(
    engine: Engine, starter: Bundle, cache: Cache, queries: list[list[EncodedPair]]
) -> None:
    """Two threads with different batches get the same scores as one after the other."""
    encoder = _encoder(starter, engine, cache)
    batches = [collate(pairs, pad_id=0, limits=default_limits(engine)) for pairs in queries]
    one_by_one = [encoder.score(batch) for batch in batches]
    with ThreadPoolExecutor(cuda.DEFAULT_LANES) as lanes:
        for _ in range(5):
            for scored, expected in zip(lanes.map(encoder.score, batches), one_by_one, strict=True):
                np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-3)


def test_smaller_batches_run_after_out_of_memory(starter: Bundle, cache: Cache) -> None:
    """A batch of 1,024 rows exceeds the memory limit. Batches of 16 and 32 rows run before and after it."""
    graph = graph_for(starter, FP16, cache)
    assert isinstance(graph, Path)
    options = cuda.provider_options(FP16) | {"gpu_mem_limit": str(256 * 1024 * 1024)}
    small = BoundSession(cuda._session(graph, options), "cuda")
    encoder = CrossEncoder(graph, FP16, open_with=lambda graph, engine, lanes: small)
    empty = Segment(np.array([], np.int64), np.array([], np.int64))
    pair = EncodedPair(empty, np.full(500, 2000, np.int64), empty, document_type=1)
    for rows in (16, 1024, 16, 1024, 32):
        batch = collate([pair] * rows, pad_id=0, limits=default_limits(FP16))
        if rows < 1024:
            assert np.isfinite(encoder.score(batch)).all()
        else:
            with pytest.raises(OutOfMemory):
                encoder.score(batch)
