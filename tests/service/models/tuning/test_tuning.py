"""The choice of an engine by speed and by agreement, with engines whose time is made up."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import Skipped
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set, throughput
from rerank_service.models.tuning.background import Halted, Time, tune_short
from rerank_service.models.tuning.candidates import Contest, NotLoaded
from rerank_service.models.tuning.gate import Agreement
from rerank_service.models.tuning.record import Trial
from rerank_service.models.tuning.throughput import Score
from rerank_service.models.tuning.trials import judge
from rerank_service.scheduling.batching import Batch, EncodedPair
from rerank_service.scheduling.cost_model import CostModel
from support.limits import batch_limits

INT8 = Engine(Provider.CPU, Precision.INT8)
BF16 = Engine(Provider.OPENVINO, Precision.BF16)
LIMITS = batch_limits()


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
    found = tune_short(
        _contest(scores), queries, limits=LIMITS, pad_id=0, time=Time(time.now + seconds, threading.Event(), time)
    )
    return found.chosen, {trial.engine: trial for trial in found.trials}


def _contest(scores: Mapping[Engine, Score]) -> Contest:
    others = tuple(engine for engine in scores if engine != CPU_FP32)
    return Contest(CPU_FP32, scores[CPU_FP32], others, scores.__getitem__)


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
        tune_short(_contest(scores), queries * 20, limits=LIMITS, pad_id=0, time=Time(1e9, halt, time))
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


def test_engines_not_measured_in_time_are_skipped_and_the_outcome_is_not_final(
    queries: list[list[EncodedPair]],
) -> None:
    """The first engine uses up the time, so the second one is not loaded."""
    time = FakeTime()
    scores = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 1), INT8: FakeEngine(time, 300)}
    found = tune_short(_contest(scores), queries, limits=LIMITS, pad_id=0, time=Time(0.1, threading.Event(), time))
    assert found.chosen == CPU_FP32
    assert [(one.engine, one.why) for one in found.skipped] == [(INT8, "no time left to measure it: run `rerank tune`")]
    assert not found.final


def test_an_engine_that_does_not_load_again_is_not_chosen() -> None:
    """Its speed was measured, its ranking could not be."""

    def agreement(engine: Engine) -> Agreement:
        raise NotLoaded(Skipped(engine, "bad allocation", passing=True))

    chosen, trials = judge({CPU_FP32: 100, INT8: 300}, CPU_FP32, agreement)
    assert chosen == CPU_FP32
    assert trials[0].verdict == "3.00 times cpu fp32, could not be loaded again to compare its ranking: bad allocation"
    assert trials[0].undecided


def test_a_slower_moment_falls_on_the_base_as_well(queries: list[list[EncodedPair]]) -> None:
    """While the second engine is measured the machine is three times as slow: its ratio stays what it is."""
    time = FakeTime()
    scores = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 150), INT8: FakeEngine(time, 300)}

    def score_of(engine: Engine) -> FakeEngine:
        slower = 3 if engine == INT8 else 1
        for one, speed in ((CPU_FP32, 100), (BF16, 150), (INT8, 300)):
            scores[one].tokens_per_second = speed / slower
        return scores[engine]

    contest = replace(_contest(scores), score_of=score_of)
    found = tune_short(contest, queries, limits=LIMITS, pad_id=0, time=Time(1e9, threading.Event(), time))
    assert [trial.verdict[:21] for trial in found.trials] == [
        "3.00 times cpu fp32, ",
        "1.50 times cpu fp32, ",
        "exact",
    ]


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
