"""The short tuning, with engines whose speed is simulated by a clock."""

import gc
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import OutOfMemory
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.background import TuningCancelled, TuningTime, tune_short
from rerank_service.models.tuning.engine_choice import TuningOutcome
from rerank_service.models.tuning.engine_loader import EngineSet
from rerank_service.models.tuning.record import EngineMeasurement
from rerank_service.models.tuning.throughput import Score, throughput
from rerank_service.scheduling.batching import Batch, EncodedPair
from support.limits import batch_limits

INT8 = Engine(Provider.CPU, Precision.INT8)
BF16 = Engine(Provider.OPENVINO, Precision.BF16)
CUDA = Engine(Provider.CUDA, Precision.FP16)
LIMITS = batch_limits()


@dataclass
class FakeTime:
    """A clock that only scoring advances."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeEngine:
    """Scores a pair by its length, at a simulated speed. `sign` -1 reverses the ranking."""

    time: FakeTime
    tokens_per_second: float
    sign: int = 1
    on_batch: Callable[[], None] = field(default=lambda: None)
    cpu_time: FakeTime = field(default_factory=FakeTime)
    share_of_core: float = 1.0
    """CPU time of the process / duration of a run."""

    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        self.on_batch()
        seconds = batch.rows * batch.length / self.tokens_per_second
        self.time.now += seconds
        self.cpu_time.now += self.share_of_core * seconds
        lengths: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
        return self.sign * lengths


@pytest.fixture
def reference_counts_only() -> Iterator[None]:
    """Disable the garbage collector, which frees cycles at an unknown time."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def queries(starter: Bundle) -> list[list[EncodedPair]]:
    """Four queries of the parity set."""
    return parity_set.encoded(PairTokenizer(starter.tokenizer, max_tokens=512), max_queries=4, max_tokens_per_doc=16)


def _short(
    scores: dict[Engine, FakeEngine],
    queries: list[list[EncodedPair]],
    time: FakeTime,
    *,
    seconds: float = 1e6,
    cpu_time: FakeTime | None = None,
) -> tuple[Engine, dict[Engine, EngineMeasurement]]:
    outcome = tune_short(
        _engine_set(scores),
        queries,
        limits_on=lambda _: LIMITS,
        pad_id=0,
        time=TuningTime.start(seconds, threading.Event(), time, cpu_time or time),
    )
    return outcome.chosen, {trial.engine: trial for trial in outcome.trials}


def _engine_set(scores: Mapping[Engine, Score]) -> EngineSet:
    others = tuple(engine for engine in scores if engine != CPU_FP32)
    return EngineSet(CPU_FP32, scores[CPU_FP32], others, scores.__getitem__)


def test_fastest_engine_with_the_ranking_of_fp32_is_chosen(queries: list[list[EncodedPair]]) -> None:
    """The fastest engine of all has another ranking."""
    time = FakeTime()
    engines = {CPU_FP32: FakeEngine(time, 100), INT8: FakeEngine(time, 300, sign=-1), BF16: FakeEngine(time, 200)}
    chosen, trials = _short(engines, queries, time)
    assert chosen == BF16
    assert re.fullmatch(
        r"3\.00 times cpu fp32, relevance loss 0\.\d+ over 1 query: mean relevance loss 0\.\d+ \(allowed: 0\.002\), "
        r"relevance loss of the worst query 0\.\d+ \(allowed: 0\.02\), mean change of .*",
        trials[INT8].verdict,
    )
    assert trials[BF16].verdict == "2.00 times cpu fp32, relevance loss 0.0000 over 4 queries"
    assert trials[CPU_FP32].verdict == "exact"


def test_speedup_below_the_minimum_is_not_chosen(queries: list[list[EncodedPair]]) -> None:
    """1.04 times the speed of fp32 does not justify rounding."""
    time = FakeTime()
    chosen, trials = _short({CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 104)}, queries, time)
    assert chosen == CPU_FP32
    assert trials[BF16].verdict == "1.04 times cpu fp32: less than 1.05, not worth the rounding"
    assert trials[CPU_FP32].verdict == "exact, and no faster engine matches its ranking"


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.0, "no time left"), (0.8, "not enough queries to decide, run `rerank tune`")]
)
def test_tuning_ends_at_its_deadline(queries: list[list[EncodedPair]], share: float, verdict: str) -> None:
    """It does not choose an engine whose ranking is not fully compared."""
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


def test_reason_names_the_undecided_engines(queries: list[list[EncodedPair]]) -> None:
    """fp32 is kept for lack of time, not because no engine is better."""
    tokens, time = sum(len(pair) for query in queries for pair in query), FakeTime()
    _, trials = _short(
        {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 200), INT8: FakeEngine(time, 300)},
        queries,
        time,
        seconds=tokens / 100 * 1.5,
    )
    assert re.fullmatch(
        rf"exact; not decided within {tokens / 100 * 1.5:g} s: cpu int8 3\.00 times as fast, ranking not compared, "
        r"openvino bf16 2\.00 times as fast, ranking compared on \d queries only: "
        r"run `rerank tune`, or raise RERANK_TUNE_SECONDS",
        trials[CPU_FP32].verdict,
    )


def test_a_comparison_without_a_chance_is_given_up(queries: list[list[EncodedPair]]) -> None:
    """There is time for one or two of the four queries: the first shows that the result would be provisional."""
    tokens, time = sum(len(pair) for query in queries for pair in query), FakeTime()
    seconds = tokens / 100 * (1 + 0.5) * 0.5
    _, trials = _short({CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 200)}, queries, time, seconds=seconds)
    assert trials[BF16].undecided
    assert trials[BF16].queries == 1
    assert time.now < seconds


def test_most_promising_engine_is_decided_before_the_others_are_measured(queries: list[list[EncodedPair]]) -> None:
    """There is time for the first of the engines only, and its comparison is complete."""
    tokens, time = sum(len(pair) for query in queries for pair in query), FakeTime()
    scores = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 200), INT8: FakeEngine(time, 1)}
    chosen, trials = _short(scores, queries, time, seconds=tokens / 100 * 2.4)
    assert chosen == BF16
    assert trials[BF16].verdict == "2.00 times cpu fp32, relevance loss 0.0000 over 4 queries"


def test_speed_is_measured_with_pairs_of_similar_length(queries: list[list[EncodedPair]]) -> None:
    """They fill batches. The rankings of an engine that is not faster are not compared, so no other pairs run."""
    time, lengths = FakeTime(), list[int]()

    class Recorded(FakeEngine):
        def __call__(self, batch: Batch) -> NDArray[np.float32]:
            lengths.extend(batch.attention_mask.sum(axis=1).tolist())
            return super().__call__(batch)

    _short({CPU_FP32: FakeEngine(time, 100), BF16: Recorded(time, 50)}, queries, time)
    ordered = sorted(len(pair) for query in queries for pair in query)
    middle = ordered[len(ordered) // 2 - 8 : len(ordered) // 2 + 8]
    assert sorted(lengths) == sorted(2 * middle)
    assert middle[-1] - middle[0] < (ordered[-1] - ordered[0]) / 2


@pytest.mark.parametrize(
    ("other", "share_of_core", "speedup"),
    [
        (BF16, 0.1, "3.00"),  # other programs let it run for a tenth of the time
        (BF16, 9.0, "0.30"),  # eight lanes of the server compute meanwhile
        (Engine(Provider.OPENVINO, Precision.FP32), 0.1, "3.00"),
        (CUDA, 0.1, "0.30"),  # a GPU computes, and the CPU waits
    ],
)
def test_other_load_does_not_change_the_speed(
    queries: list[list[EncodedPair]], other: Engine, share_of_core: float, speedup: str
) -> None:
    """On a CPU, the less of CPU time and duration counts."""
    time, cpu_time = FakeTime(), FakeTime()
    scores = {
        CPU_FP32: FakeEngine(time, 100, cpu_time=cpu_time),
        other: FakeEngine(time, 30, cpu_time=cpu_time, share_of_core=share_of_core),
    }
    _, measured = _short(scores, queries, time, cpu_time=cpu_time)
    assert measured[other].verdict.startswith(f"{speedup} times cpu fp32")


@pytest.mark.parametrize(("tokens_per_second", "rounds"), [(200, 2), (110, 3), (50, 2)])
def test_speed_is_measured_until_the_ratio_is_clear(
    queries: list[list[EncodedPair]], tokens_per_second: float, rounds: int
) -> None:
    """Two rounds suffice far from the minimum speedup; three are measured near it."""
    time, batches = FakeTime(), [0]

    def count() -> None:
        batches[0] += 1

    engines = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, tokens_per_second, on_batch=count)}
    one_pair_per_query = [[query[0]] for query in queries]
    throughput(engines[BF16], [query[0] for query in queries], LIMITS, pad_id=0, lanes=1, clock=time)
    batches_per_round, batches[0] = batches[0], 0
    _, trials = _short(engines, one_pair_per_query, time)
    assert batches[0] == rounds * batches_per_round + trials[BF16].queries


@pytest.mark.parametrize("batches", [1, 40])
def test_shutdown_cancels_a_tuning(queries: list[list[EncodedPair]], batches: int) -> None:
    """While it measures speed, and while it compares rankings."""
    halt, time, ran = threading.Event(), FakeTime(), [0]

    def count() -> None:
        ran[0] += 1
        if ran[0] >= batches:
            halt.set()

    scores = {CPU_FP32: FakeEngine(time, 100, on_batch=count), BF16: FakeEngine(time, 200, on_batch=count)}
    with pytest.raises(TuningCancelled):
        tune_short(
            _engine_set(scores),
            queries * 20,
            limits_on=lambda _: LIMITS,
            pad_id=0,
            time=TuningTime.start(1e9, halt, time, time),
        )
    assert ran[0] < batches + 60


def test_engine_not_measured_in_time_is_skipped(
    queries: list[list[EncodedPair]],
) -> None:
    """The first engine uses all the time. The outcome is not final."""
    time = FakeTime()
    scores = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 1), INT8: FakeEngine(time, 300)}
    outcome = tune_short(
        _engine_set(scores),
        queries,
        limits_on=lambda _: LIMITS,
        pad_id=0,
        time=TuningTime.start(0.1, threading.Event(), time, time),
    )
    assert outcome.chosen == CPU_FP32
    assert [(skipped.engine, skipped.reason) for skipped in outcome.skipped] == [
        (INT8, "no time left to measure it: run `rerank tune`")
    ]
    assert not outcome.final
    assert "cpu int8 not measured: run `rerank tune`" in outcome.trials[0].verdict


def _failing(fails: Callable[[Batch], bool], engine: FakeEngine) -> Score:
    def score(batch: Batch) -> NDArray[np.float32]:
        if fails(batch):
            raise RuntimeError("no kernel")
        return engine(batch)

    return score


def _is_long(batch: Batch) -> bool:
    return batch.length > 8


def _is_short(batch: Batch) -> bool:
    """Return whether a batch compares rankings: the pairs that measure speed have at least 28 tokens."""
    return int(batch.attention_mask.sum(axis=1).max()) < 28


@pytest.mark.parametrize("fails", [_is_long, _is_short])
@pytest.mark.parametrize("tokens_per_second", [120, 300])
def test_engine_that_fails_on_a_batch_is_left_out(
    queries: list[list[EncodedPair]], fails: Callable[[Batch], bool], tokens_per_second: float
) -> None:
    """In a measurement of speed, or in a comparison of rankings. The third engine is chosen."""
    time = FakeTime()
    scores: dict[Engine, Score] = {
        CPU_FP32: FakeEngine(time, 100),
        INT8: _failing(fails, FakeEngine(time, tokens_per_second)),
        BF16: FakeEngine(time, 110),
    }
    outcome = tune_short(
        _engine_set(scores),
        queries,
        limits_on=lambda _: LIMITS,
        pad_id=0,
        time=TuningTime.start(1e6, threading.Event(), time, time),
    )
    assert outcome.chosen == BF16
    assert not outcome.final
    reasons = [*(skipped.reason for skipped in outcome.skipped), *(trial.verdict for trial in outcome.trials)]
    assert any(re.search(r"fails on \d+ pairs? of \d+ tokens: no kernel", reason) for reason in reasons)


@pytest.mark.parametrize("fails", [_is_long, _is_short])
def test_engine_that_failed_is_released_before_the_next_one_is_loaded(
    queries: list[list[EncodedPair]], fails: Callable[[Batch], bool], reference_counts_only: None
) -> None:
    """The memory check counts on it: there may be no memory for both."""
    time, released = FakeTime(), []
    failed: weakref.ref[Score] | None = None

    def load(engine: Engine) -> Score:
        nonlocal failed
        if engine == INT8:
            score = _failing(fails, FakeEngine(time, 300))
            failed = weakref.ref(score)
            return score
        released.append(failed is not None and failed() is None)
        return FakeEngine(time, 110)

    engines = EngineSet(CPU_FP32, FakeEngine(time, 100), (INT8, BF16), load)
    outcome = tune_short(
        engines,
        queries,
        limits_on=lambda _: LIMITS,
        pad_id=0,
        time=TuningTime.start(1e6, threading.Event(), time, time),
    )
    assert outcome.chosen == BF16
    assert set(released) == {True}


def test_batch_without_memory_is_halved(queries: list[list[EncodedPair]]) -> None:
    """The server does the same. An engine without memory for one pair is left out; a later tuning measures it again."""
    time, most_pairs = FakeTime(), 3

    def score(batch: Batch) -> NDArray[np.float32]:
        if batch.rows > most_pairs:
            raise OutOfMemory("no memory")
        return FakeEngine(time, 200)(batch)

    def tuned() -> TuningOutcome:
        return tune_short(
            _engine_set({CPU_FP32: FakeEngine(time, 100), BF16: score}),
            queries,
            limits_on=lambda _: LIMITS,
            pad_id=0,
            time=TuningTime.start(1e6, threading.Event(), time, time),
        )

    assert tuned().chosen == BF16
    most_pairs = 0
    [skipped] = tuned().skipped
    assert (skipped.engine, skipped.transient) == (BF16, True)


def test_slow_machine_affects_the_base_as_well(queries: list[list[EncodedPair]]) -> None:
    """The machine is three times slower for the second engine. Its ratio to the base stays the same."""
    time = FakeTime()
    scores = {CPU_FP32: FakeEngine(time, 100), BF16: FakeEngine(time, 150), INT8: FakeEngine(time, 300)}

    def load(engine: Engine) -> FakeEngine:
        slower = 3 if engine == INT8 else 1
        for slowed, speed in ((CPU_FP32, 100), (BF16, 150), (INT8, 300)):
            scores[slowed].tokens_per_second = speed / slower
        return scores[engine]

    engines = replace(_engine_set(scores), load=load)
    outcome = tune_short(
        engines,
        queries,
        limits_on=lambda _: LIMITS,
        pad_id=0,
        time=TuningTime.start(1e9, threading.Event(), time, time),
    )
    assert [trial.verdict[:21] for trial in outcome.trials] == [
        "3.00 times cpu fp32, ",
        "1.50 times cpu fp32: ",
        "exact",
    ]


def test_each_engine_is_measured_with_its_own_padding(queries: list[list[EncodedPair]]) -> None:
    """Speed and ranking of `openvino int8` need multiples of 16 tokens; the base engine keeps its own lengths."""
    time, int8 = FakeTime(), Engine(Provider.OPENVINO, Precision.INT8)
    lengths: dict[Engine, set[int]] = {CPU_FP32: set(), int8: set()}

    def recording(engine: Engine, tokens_per_second: float) -> Score:
        def score(batch: Batch) -> NDArray[np.float32]:
            lengths[engine].add(batch.length)
            return FakeEngine(time, tokens_per_second)(batch)

        return score

    scores = {CPU_FP32: recording(CPU_FP32, 100), int8: recording(int8, 300)}
    outcome = tune_short(
        _engine_set(scores),
        queries,
        limits_on=default_limits,
        pad_id=0,
        time=TuningTime.start(1e6, threading.Event(), time, time),
    )
    assert outcome.chosen == int8
    assert {length % 16 for length in lengths[int8]} == {0}
    assert {length % 16 for length in lengths[CPU_FP32]} > {0}
