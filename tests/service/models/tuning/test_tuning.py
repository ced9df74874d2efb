"""What is chosen, by speed and by agreement, remembered and found again."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import offer
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import ModelOptions, load_better, load_selected, tune
from rerank_service.models.tuning import full, parity_set, throughput
from rerank_service.models.tuning.background import Halted, tune_short
from rerank_service.models.tuning.gate import Agreement
from rerank_service.models.tuning.record import Trial, Tuned, read
from rerank_service.models.tuning.startup import EngineRequest, select, tuning_key
from rerank_service.models.tuning.trials import judge, open_all
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import identity
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair
from rerank_service.scheduling.cost_model import CostModel
from support.small import write_small_model

INT8 = Engine(Provider.CPU, Precision.INT8)
BF16 = Engine(Provider.OPENVINO, Precision.BF16)
LIMITS = BatchLimits()


@dataclass
class FakeTime:
    """A clock that only work moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeEngine:
    """Scores a pair by its length, at a speed, and ranks wrongly if asked to."""

    time: FakeTime
    tokens_per_second: float
    sign: int = 1
    on_batch: Callable[[], None] = field(default=lambda: None)

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        self.on_batch()
        self.time.now += batch.rows * batch.length / self.tokens_per_second
        lengths: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
        return self.sign * lengths


@pytest.fixture(scope="module")
def queries(starter: Bundle) -> list[list[EncodedPair]]:
    """Some of the parity set."""
    return parity_set.encoded(PairTokenizer(starter.tokenizer, max_tokens=512), most=4, max_tokens_per_doc=16)


def _short(
    scores: dict[Engine, FakeEngine], queries: list[list[EncodedPair]], time: FakeTime, *, seconds: float = 1e6
) -> tuple[Engine, dict[Engine, Trial]]:
    halt = threading.Event()
    chosen, trials = tune_short(
        scores, CPU_FP32, queries, limits=LIMITS, pad_id=0, ends=time.now + seconds, halt=halt, clock=time
    )
    return chosen, {trial.engine: trial for trial in trials}


def test_the_fastest_that_ranks_as_fp32_does_is_chosen(queries: list[list[EncodedPair]]) -> None:
    """The fastest of all ranks otherwise."""
    time = FakeTime()
    engines = {CPU_FP32: FakeEngine(time, 100), INT8: FakeEngine(time, 300, sign=-1), BF16: FakeEngine(time, 200)}
    chosen, trials = _short(engines, queries, time)
    assert chosen == BF16
    assert trials[INT8].verdict == "3.00 times cpu fp32, tau-b -1.0000 over 1 query, less than 0.995"
    assert trials[BF16].verdict == "2.00 times cpu fp32, tau-b 1.0000 over 4 queries"
    assert trials[CPU_FP32].verdict == "exact"


def test_what_is_hardly_faster_is_not_worth_its_rounding(queries: list[list[EncodedPair]]) -> None:
    """Nor what is slower."""
    time = FakeTime()
    chosen, trials = _short({CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 104)}, queries, time)
    assert chosen == CPU_FP32
    assert trials[BF16].verdict == "1.04 times cpu fp32, not worth its rounding"
    assert trials[CPU_FP32].verdict == "exact, and nothing faster ranks alike"


@pytest.mark.parametrize(("share", "verdict"), [(0.0, "no time left"), (0.8, "too few to say: run `rerank tune`")])
def test_a_tuning_ends_in_time(queries: list[list[EncodedPair]], share: float, verdict: str) -> None:
    """And chooses nothing that it has not seen to the end."""
    tokens = sum(len(pair) for query in queries for pair in query)
    seconds = tokens / 100 * (1 + 0.5) * share
    time = FakeTime()
    chosen, trials = _short(
        {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 200)}, queries, time, seconds=seconds
    )
    assert chosen == CPU_FP32
    assert verdict in trials[BF16].verdict
    assert trials[BF16].undecided
    longest = max(sum(len(pair) for pair in query) for query in queries) / 100
    assert time.now < seconds + 3 * longest


@pytest.mark.parametrize("batches", [1, 40])
def test_a_tuning_halts_when_the_server_stops(queries: list[list[EncodedPair]], batches: int) -> None:
    """While it measures speed, and while it compares rankings."""
    halt, time, ran = threading.Event(), FakeTime(), [0]

    def count() -> None:
        ran[0] += 1
        if ran[0] >= batches:
            halt.set()

    scores = {CPU_FP32: FakeEngine(time, 100, on_batch=count), BF16: FakeEngine(time, 200, on_batch=count)}
    with pytest.raises(Halted):
        tune_short(scores, CPU_FP32, queries * 20, limits=LIMITS, pad_id=0, ends=1e9, halt=halt, clock=time)
    assert ran[0] < batches + 60


def test_nothing_slower_is_compared_once_one_was_chosen() -> None:
    """It would cost time for nothing."""
    asked: list[Engine] = []

    def agreement(engine: Engine) -> Agreement:
        asked.append(engine)
        return Agreement(1, (1.0,))

    chosen, trials = judge({CPU_FP32: 100, INT8: 300, BF16: 200}, CPU_FP32, agreement)
    assert (chosen, asked) == (INT8, [INT8])
    assert trials[1].verdict == "2.00 times cpu fp32, and slower than cpu int8"


def test_only_fp32_is_called_exact() -> None:
    """Where another precision was asked for, that is what others are compared with."""
    chosen, [trial] = judge({INT8: 100}, INT8, lambda _: Agreement(1))
    assert chosen == INT8
    assert "exact" not in trial.verdict


def test_a_model_that_no_query_fits_keeps_fp32() -> None:
    """Nothing could be compared."""
    chosen, trials = judge({CPU_FP32: 100, INT8: 300}, CPU_FP32, lambda _: Agreement(0))
    assert chosen == CPU_FP32
    assert trials[0].verdict == "3.00 times cpu fp32, no query of the parity set fits the model's window"
    assert not trials[0].undecided


def test_an_engine_that_loads_and_does_not_run_is_left_out(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are measured."""

    def fail(encoder: CrossEncoder, batch: Batch) -> NDArray[np.float32]:
        if encoder.engine == INT8:
            raise RuntimeError("no kernel")
        return np.zeros(batch.rows, np.float32)

    monkeypatch.setattr(CrossEncoder, "score", fail)
    opened = open_all(starter, (CPU_FP32, INT8), Cache(tmp_path), lanes=1)
    assert (set(opened.encoders), opened.failed) == ({CPU_FP32}, {INT8: "no kernel"})


def test_throughput_counts_real_tokens_of_all_lanes(queries: list[list[EncodedPair]]) -> None:
    """Every pair once; the cost model learns from each batch."""
    pairs = [pair for query in queries for pair in query]
    seen: list[int] = []
    lock = threading.Lock()

    def score(batch: Batch) -> NDArray[np.float32]:
        with lock:
            seen.extend(batch.attention_mask.sum(axis=1).tolist())
        return np.zeros(batch.rows, np.float32)

    cost = CostModel()
    before = cost.weights
    assert throughput.throughput(score, pairs, LIMITS, pad_id=0, lanes=2, cost=cost) > 0
    assert sorted(seen) == sorted(map(len, pairs))
    assert cost.weights != before


def test_logits_come_back_in_order(queries: list[list[EncodedPair]]) -> None:
    """Though batches are formed by length."""
    time = FakeTime()
    scores = throughput.logits(FakeEngine(time, 1), queries[0], LIMITS, 0)
    assert scores.tolist() == [float(len(pair)) for pair in queries[0]]


def _options(folder: Path, cache: Path, requested: EngineRequest | None = None) -> ModelOptions:
    return ModelOptions(folder, cache, requested or EngineRequest())


def _tuned(engine: Engine, **more: Any) -> Tuned:
    trial = Trial(provider=engine.provider, precision=engine.precision, tokens_per_second=1.0, verdict="fast")
    return Tuned(form="full", provider=engine.provider, precision=engine.precision, trials=(trial,), **more)


def test_the_first_start_is_exact(small_model: Bundle, tmp_path: Path) -> None:
    """What is not known to rank alike is not taken unasked."""
    selection = select(small_model, EngineRequest(), Cache(tmp_path))
    assert (selection.engine, selection.tuned) == (CPU_FP32, None)
    assert "not tuned on this machine yet" in selection.why


def test_what_was_asked_for_is_taken(starter: Bundle, tmp_path: Path) -> None:
    """Even int8, though it ranks less well than auto would allow."""
    requested = EngineRequest(precision=Precision.INT8)
    model = load_selected(_options(starter.folder, tmp_path, requested))
    assert (model.info.precision, model.info.provider) == ("int8", "CPUExecutionProvider")
    assert "asked for: provider auto, precision int8" in model.info.choice
    with pytest.raises(BundleInvalid, match="does not work here"):
        load_selected(_options(starter.folder, tmp_path, EngineRequest(Provider.CUDA)))


def test_what_was_tuned_is_found_by_the_next_start(starter: Bundle, tmp_path: Path) -> None:
    """Engine, lanes, limits, cost; what the operator says goes before."""
    cost = (0.001, 0.2, 0.0)
    tuned = _tuned(INT8, lanes=1, max_batch_tokens=1024, length_multiple=8, cost=cost)
    Cache(tmp_path).keep_tuning(tuning_key(starter, EngineRequest()), tuned.model_dump(mode="json"))
    model = load_selected(_options(starter.folder, tmp_path))
    assert model.encoder.engine == INT8
    assert model.info.choice == "fast (full tuning)"
    limits = model.scheduler.limits
    assert (limits.max_tokens, limits.length_multiple, model.scheduler._lanes) == (1024, 8, 1)
    said = load_selected(replace(_options(starter.folder, tmp_path), max_batch_tokens=256, lanes=2))
    assert (said.scheduler.limits.max_tokens, said.scheduler._lanes) == (256, 2)


@pytest.mark.parametrize("provider", [Provider.CUDA, Provider.CPU, Provider.AUTO])
def test_a_remembered_engine_that_is_gone_is_not_insisted_on(
    small_model: Bundle, tmp_path: Path, provider: Provider
) -> None:
    """The choice was ours, not the operator's."""
    tuned = _tuned(Engine(provider, Precision.FP16))
    Cache(tmp_path).keep_tuning(tuning_key(small_model, EngineRequest()), tuned.model_dump(mode="json"))
    assert select(small_model, EngineRequest(), Cache(tmp_path)).engine == CPU_FP32


def test_a_model_that_no_engine_runs_is_said_to_be_none(small_model: Bundle, tmp_path: Path) -> None:
    """With what each engine said."""
    folder = shutil.copytree(small_model.folder, tmp_path / "plain")
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_text("no graph")
    with pytest.raises(BundleInvalid, match=r"no engine runs .*cpu fp32"):
        tune(_options(folder, tmp_path / "cache"), lambda _: None)


def test_a_record_of_another_form_counts_as_none() -> None:
    """Of a later version, say."""
    assert read({"form": "full"}) is None
    assert read(None) is None
    tuned = _tuned(INT8)
    assert read(tuned.model_dump(mode="json")) == tuned
    assert read(tuned.model_dump(mode="json") | {"lanes": 2**20}) is None


def test_tunings_of_different_wishes_are_kept_apart(small_model: Bundle, tmp_path: Path) -> None:
    """And those of different models, with a manifest or without."""
    other = write_small_model(tmp_path / "other")
    (other.folder / "manifest.json").unlink()
    keys = {
        tuning_key(bundle, requested)
        for bundle in (small_model, open_bundle(other.folder))
        for requested in (EngineRequest(), EngineRequest(Provider.CPU), EngineRequest(precision=Precision.INT8))
    }
    assert len(keys) == 6


def test_weights_beside_a_graph_are_part_of_what_it_is(starter: Bundle, tmp_path: Path) -> None:
    """Where no manifest says so: the same graph with other weights is another model."""
    folder = tmp_path / "plain"
    shutil.copytree(starter.folder, folder)
    (folder / "manifest.json").unlink()
    before = identity(open_bundle(folder))
    with (folder / "model.onnx.data").open("r+b") as weights:
        weights.write(b"other")
    assert identity(open_bundle(folder)) != before


def test_the_short_tuning_is_kept_and_not_done_twice(small_model: Bundle, tmp_path: Path) -> None:
    """Of a model that has one engine only, fp32 stays."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    running = load_selected(options)
    same = load_better(options, running, threading.Event())
    assert same is not None
    assert same.scheduler is running.scheduler
    assert "no product" in same.info.choice
    assert load_better(options, running, threading.Event()) is None
    kept = Cache(tmp_path).tuning(tuning_key(small_model, options.requested))
    assert kept is not None
    assert any("no product with constant weights" in one for one in kept["skipped"])
    assert "no product" in load_selected(options).info.choice

    halted = threading.Event()
    halted.set()
    assert load_better(_options(small_model.folder, tmp_path / "other"), running, halted) is None
    assert not (tmp_path / "other" / "tuning").exists()


def test_the_full_tuning_measures_settings_of_the_engine_it_chose(small_model: Bundle, tmp_path: Path) -> None:
    """And keeps cost, lanes and limits for the next start."""
    here = full.machine(small_model, Cache(tmp_path), LIMITS, lanes=2)
    told: list[str] = []
    tuned = full.tune_full(here, offer(Provider.CPU, Precision.FP32), told.append)
    assert tuned.engine == CPU_FP32
    assert {setting.max_batch_tokens for setting in tuned.settings} >= {256, 512, 1024, 2048}
    assert {setting.length_multiple for setting in tuned.settings} >= {1, 4, 8, 16}
    assert {setting.lanes for setting in tuned.settings} == {1, 2}
    assert tuned.lanes in (1, 2)
    assert tuned.cost is not None
    assert told[0] == "loading the engines"
