"""The CUDA provider on a real GPU: scores, ranking, lanes and memory. Run by `make gpu-test`; skipped without a GPU."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine import cuda
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.io_binding import BoundSession, CudaGraphSession
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.runtime import REWRITE_KEY
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.models.files import CONFIG, GRAPH, TOKENIZER
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.ranking_change import ranking_change
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import EncodedPair, Segment, collate
from support.limits import batch_limits
from support.plain_bert import PLAIN_BERT

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


@dataclass(frozen=True, slots=True)
class Model:
    """A model, with batches of pairs and their exact logits."""

    bundle: Bundle
    queries: list[list[EncodedPair]]
    exact: list[Logits]
    """Logits in fp32 on the CPU."""

    @classmethod
    def of(cls, bundle: Bundle, queries: list[list[EncodedPair]]) -> "Model":
        """Compute the exact logits."""
        encoder = CrossEncoder(bundle.graph, CPU_FP32)
        return cls(bundle, queries, [logits(encoder.score, pairs, batch_limits(), 0) for pairs in queries])


@pytest.fixture(scope="module")
def trained(starter: Bundle) -> Model:
    """Return the starter with pairs of the parity set, of all lengths. Its attention is not fused."""
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=starter.manifest.max_tokens)
    return Model.of(starter, parity_set.encoded(tokenizer, max_queries=_QUERIES))


@pytest.fixture(scope="module")
def plain_bert(starter: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a small BERT with random weights and pairs of random tokens. Its attention is fused, without padding."""
    folder = tmp_path_factory.mktemp("plain-bert")
    shutil.copy(PLAIN_BERT, folder / GRAPH)
    for name in (CONFIG, TOKENIZER):
        shutil.copy(starter.folder / name, folder / name)
    bundle = write_manifest(folder, starter.manifest.model_copy(update={"verdict": None}))
    random = np.random.default_rng(0)
    return Model.of(bundle, [[_random_pair(random) for _ in range(20)] for _ in range(_QUERIES)])


def _random_pair(random: np.random.Generator) -> EncodedPair:
    head, tail = Segment(random.integers(5, 300, 4), np.zeros(4, np.int64)), Segment(np.array([3]), np.array([1]))
    return EncodedPair(head, random.integers(5, 300, random.integers(1, 58)), tail, document_type=1)


@pytest.fixture(params=["trained", "plain_bert"])
def model(request: pytest.FixtureRequest) -> Model:
    """Return each of the models."""
    result: Model = request.getfixturevalue(request.param)
    return result


def _encoder(model: Model, engine: Engine, cache: Cache) -> CrossEncoder:
    return CrossEncoder(graph_for(model.bundle, engine, cache), engine, lanes=cuda.DEFAULT_LANES)


def _scored(model: Model, encoder: CrossEncoder) -> list[Logits]:
    limits = default_limits(encoder.engine)
    return [logits(encoder.score, pairs, limits, 0) for pairs in model.queries]


def test_fp32_equals_the_cpu(model: Model, cache: Cache) -> None:
    """The provider does not use TF32."""
    scored = _scored(model, _encoder(model, FP32, cache))
    np.testing.assert_allclose(np.concatenate(scored), np.concatenate(model.exact), rtol=0, atol=_CLOSE_FP32)


def test_attention_of_a_plain_bert_runs_without_padding(plain_bert: Model, cache: Cache) -> None:
    """Otherwise the tests would not run the kernels of packed graphs."""
    graph = graph_for(plain_bert.bundle, FP16, cache)
    assert isinstance(graph, Path)
    metadata = cuda._session(graph, cuda.provider_options(FP16)).get_modelmeta().custom_metadata_map
    assert metadata[REWRITE_KEY] == "5 attentions fused, 5 without padding"


@pytest.mark.parametrize("engine", [FP16, GRAPHS], ids=str)
def test_fp16_is_close_to_fp32(engine: Engine, model: Model, cache: Cache) -> None:
    """Covers graphs without padding, and CUDA graphs: the second round replays the recorded shapes."""
    encoder = _encoder(model, engine, cache)
    assert isinstance(encoder._runner, CudaGraphSession if engine.cuda_graphs else BoundSession)
    for _ in range(2):
        scored = _scored(model, encoder)
        np.testing.assert_allclose(np.concatenate(scored), np.concatenate(model.exact), rtol=0, atol=_CLOSE_FP16)


def test_ranking_in_fp16_matches_fp32(trained: Model, cache: Cache) -> None:
    """For a model with random weights, near ties would change places."""
    scored = _scored(trained, _encoder(trained, FP16, cache))
    assert ranking_change(trained.exact, scored).beyond() == ()


def test_small_batches_of_a_plain_bert_are_recorded(plain_bert: Model, cache: Cache) -> None:
    """The starter has operators that CUDA cannot record. Its batches run without CUDA graphs."""
    encoder = _encoder(plain_bert, GRAPHS, cache)
    _scored(plain_bert, encoder)
    assert isinstance(encoder._runner, CudaGraphSession)
    assert encoder._runner.recorded_shapes()


@pytest.mark.parametrize("engine", [FP32, FP16, GRAPHS], ids=str)
def test_score_depends_little_on_the_other_pairs_of_a_batch(engine: Engine, model: Model, cache: Cache) -> None:
    """cuBLAS chooses kernels by shape, so scores are close, but not bit-identical."""
    encoder = _encoder(model, engine, cache)
    limits = default_limits(engine)
    pairs = [query[0] for query in model.queries]
    alone = [encoder.score(collate([pair], pad_id=0, limits=limits))[0] for pair in pairs]
    close = _CLOSE_FP32 if engine is FP32 else _CLOSE_FP16
    np.testing.assert_allclose(encoder.score(collate(pairs, pad_id=0, limits=limits)), alone, rtol=0, atol=close)


@pytest.mark.parametrize("engine", [FP32, FP16, GRAPHS], ids=str)
def test_lanes_do_not_disturb_each_other(engine: Engine, model: Model, cache: Cache) -> None:
    """Threads with different batches get the same scores as one after the other. Four lanes show races sooner."""
    encoder = _encoder(model, engine, cache)
    batches = [collate(pairs, pad_id=0, limits=default_limits(engine)) for pairs in model.queries]
    one_by_one = [encoder.score(batch) for batch in batches]
    with ThreadPoolExecutor(2 * cuda.DEFAULT_LANES) as lanes:
        for _ in range(5):
            for scored, expected in zip(lanes.map(encoder.score, batches), one_by_one, strict=True):
                np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-3)


def test_smaller_batches_run_after_out_of_memory(starter: Bundle, cache: Cache) -> None:
    """A batch of 512 rows exceeds the memory limit. Batches of 16 and 32 rows run before and after it."""
    graph = graph_for(starter, FP16, cache)
    assert isinstance(graph, Path)
    options = cuda.provider_options(FP16) | {"gpu_mem_limit": str(2 * 1024**3)}
    small = BoundSession(cuda._session(graph, options), "cuda")
    encoder = CrossEncoder(graph, FP16, open_with=lambda graph, engine, lanes: small)
    empty = Segment(np.array([], np.int64), np.array([], np.int64))
    pair = EncodedPair(empty, np.full(500, 2000, np.int64), empty, document_type=1)
    for rows in (16, 512, 16, 512, 32):
        batch = collate([pair] * rows, pad_id=0, limits=default_limits(FP16))
        if rows < 512:
            assert np.isfinite(encoder.score(batch)).all()
        else:
            with pytest.raises(OutOfMemory):
                encoder.score(batch)
