"""The choice of an engine by its speed and its ranking, without measurements."""

import numpy as np
import pytest

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.tuning.engine_choice import TuningOutcome, choose_engine
from rerank_service.models.tuning.engine_loader import EngineNotLoaded
from rerank_service.models.tuning.ranking_comparison import RankingComparison
from rerank_service.models.tuning.undecided import explain_undecided

INT8 = Engine(Provider.CPU, Precision.INT8)
BF16 = Engine(Provider.OPENVINO, Precision.BF16)
LOGITS = np.array([3, -1, -2], np.float32)


def test_slower_engines_are_not_compared_after_a_choice() -> None:
    """The comparison would cost time."""
    compared: list[Engine] = []

    def compare(engine: Engine) -> RankingComparison:
        compared.append(engine)
        return RankingComparison(1).with_query(LOGITS, LOGITS)

    chosen, trials = choose_engine({CPU_FP32: 100, INT8: 300, BF16: 200}, CPU_FP32, compare)
    assert (chosen, compared) == (INT8, [INT8])
    assert trials[1].verdict == "2.00 times cpu fp32: slower than cpu int8"


def _chosen(bf16: float, comparison: RankingComparison) -> tuple[Engine, TuningOutcome]:
    """Choose between int8, whose ranking matches, and bf16 with a speed and a comparison."""
    matching = RankingComparison(1).with_query(LOGITS, LOGITS)
    speeds = {CPU_FP32: 100.0, INT8: 300.0, BF16: bf16}
    engine, trials = choose_engine(speeds, CPU_FP32, lambda each: matching if each == INT8 else comparison)
    assert [trial.tokens_per_second for trial in trials] == sorted(speeds.values(), reverse=True)
    return engine, TuningOutcome(engine, trials, ())


def test_of_equally_fast_engines_the_most_precise_one_is_chosen() -> None:
    """If its ranking matches. Measurements differ by some percent from time to time."""
    matching, other = (RankingComparison(1).with_query(LOGITS, each) for each in (LOGITS, -LOGITS))
    assert [_chosen(speed, matching)[0] for speed in (310, 290, 280)] == [BF16, BF16, INT8]
    assert _chosen(290, other)[0] == INT8
    outcome = _chosen(290, matching)[1]
    assert outcome.trials[0].verdict == f"3.00 times cpu fp32: as fast as, and less precise than, {BF16}"


@pytest.mark.parametrize(("int8", "faster"), [(104.9, False), (105.0, True), (105.1, True), (105.3, True)])
def test_two_engines_are_equally_fast_below_the_smallest_speedup(int8: float, faster: bool) -> None:
    """The same limit counts between the base and another engine, and between two other ones."""
    matching = RankingComparison(1).with_query(LOGITS, LOGITS)
    beside_base, _ = choose_engine({CPU_FP32: 100.0, INT8: int8}, CPU_FP32, lambda _: matching)
    speeds = {CPU_FP32: 10.0, BF16: 100.0, INT8: int8}
    beside_other, _ = choose_engine(speeds, CPU_FP32, lambda _: matching)
    assert (beside_base == INT8, beside_other == INT8) == (faster, faster)


def test_undecided_engine_that_is_as_fast_as_the_chosen_one_needs_no_other_tuning() -> None:
    """A clearly faster one does."""
    undecided = RankingComparison(99).with_query(LOGITS, LOGITS)
    assert [_chosen(speed, undecided)[0] for speed in (290, 400)] == [INT8, INT8]
    assert [_chosen(speed, undecided)[1].final for speed in (290, 400)] == [True, False]


def test_only_fp32_is_called_exact() -> None:
    """If another precision is requested, that is the base."""
    chosen, [trial] = choose_engine({INT8: 100}, INT8, lambda _: RankingComparison(1))
    assert chosen == INT8
    assert "exact" not in trial.verdict


def test_undecided_engines_are_named_beside_a_base_with_cuda_graphs() -> None:
    """Measurements do not say whether an engine has CUDA graphs."""
    base = Engine(Provider.CUDA, Precision.FP32, cuda_graphs=True)
    fp16 = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
    chosen, trials = choose_engine({base: 100}, base, lambda _: RankingComparison(1))
    skipped = SkippedEngine(fp16, "no memory", transient=True)
    outcome = explain_undecided(TuningOutcome(chosen, trials, (skipped,)), base, seconds=None)
    assert "not decided: cuda fp16" in outcome.trials[0].verdict


def test_engine_that_does_not_load_again_is_not_chosen() -> None:
    """Its speed was measured, but its ranking was not."""

    def compare(engine: Engine) -> RankingComparison:
        raise EngineNotLoaded(SkippedEngine(engine, "bad allocation", transient=True))

    chosen, trials = choose_engine({CPU_FP32: 100, INT8: 300}, CPU_FP32, compare)
    assert chosen == CPU_FP32
    assert trials[0].verdict == "3.00 times cpu fp32, ranking not compared: bad allocation"
    assert trials[0].undecided


def test_measurement_has_loss_moves_and_tau() -> None:
    """Two irrelevant documents change places: tau-b falls to a third, and the loss hardly grows."""
    other = np.array([3, -1.5, -1.4], np.float32)
    _, [int8, _] = choose_engine(
        {CPU_FP32: 100, INT8: 300}, CPU_FP32, lambda _: RankingComparison(1).with_query(LOGITS, other)
    )
    assert int8.loss == int8.worst_loss == 0.016588
    assert int8.tau == 0.333333
    assert int8.mean_move == 0.055043
    assert int8.p99_move is not None
    assert int8.verdict == (
        "3.00 times cpu fp32, relevance loss 0.0166 over 1 query: mean relevance loss 0.0166 (allowed: 0.002), "
        "mean change of a top-ten probability 0.0550 (allowed: 0.01), "
        "99th percentile of these changes 0.0864 (allowed: 0.05)"
    )
