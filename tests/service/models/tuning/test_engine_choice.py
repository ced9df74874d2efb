"""The choice of an engine by its speed and its ranking, without measurements."""

from rerank_service.engine.available import SkippedEngine
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.tuning.engine_choice import choose_engine
from rerank_service.models.tuning.engine_loader import EngineNotLoaded
from rerank_service.models.tuning.ranking_comparison import RankingComparison

INT8 = Engine(Provider.CPU, Precision.INT8)


BF16 = Engine(Provider.OPENVINO, Precision.BF16)


def test_slower_engines_are_not_compared_after_a_choice() -> None:
    """The comparison would cost time."""
    compared: list[Engine] = []

    def compare(engine: Engine) -> RankingComparison:
        compared.append(engine)
        return RankingComparison(1, (1.0,))

    chosen, trials = choose_engine({CPU_FP32: 100, INT8: 300, BF16: 200}, CPU_FP32, compare)
    assert (chosen, compared) == (INT8, [INT8])
    assert trials[1].verdict == "2.00 times cpu fp32: slower than cpu int8"


def test_only_fp32_is_called_exact() -> None:
    """If another precision is requested, that is the base."""
    chosen, [trial] = choose_engine({INT8: 100}, INT8, lambda _: RankingComparison(1))
    assert chosen == INT8
    assert "exact" not in trial.verdict


def test_fp32_is_kept_if_no_query_fits_the_token_limit() -> None:
    """No ranking can be compared."""
    chosen, trials = choose_engine({CPU_FP32: 100, INT8: 300}, CPU_FP32, lambda _: RankingComparison(0))
    assert chosen == CPU_FP32
    assert (
        trials[0].verdict
        == "3.00 times cpu fp32, ranking not compared: no query of the parity set fits the token limit of the model"
    )
    assert not trials[0].undecided


def test_engine_that_does_not_load_again_is_not_chosen() -> None:
    """Its speed was measured, but its ranking was not."""

    def compare(engine: Engine) -> RankingComparison:
        raise EngineNotLoaded(SkippedEngine(engine, "bad allocation", transient=True))

    chosen, trials = choose_engine({CPU_FP32: 100, INT8: 300}, CPU_FP32, compare)
    assert chosen == CPU_FP32
    assert trials[0].verdict == (
        "3.00 times cpu fp32, ranking not compared, because the engine did not load again: bad allocation"
    )
    assert trials[0].undecided


def test_verdict_on_the_base_is_undecided_until_all_faster_engines_are_compared() -> None:
    """Otherwise it would claim that no faster engine has the same ranking."""
    undecided = "exact; undecided whether a faster engine has the same ranking: run `rerank tune`"
    _, trials = choose_engine({CPU_FP32: 100, INT8: 300}, CPU_FP32, lambda _: RankingComparison(2, (1.0,)))
    assert trials[1].verdict == undecided
    unmeasured = SkippedEngine(INT8, "no time left to measure it", transient=True)
    _, [trial] = choose_engine({CPU_FP32: 100}, CPU_FP32, lambda _: RankingComparison(1), [unmeasured])
    assert trial.verdict == undecided
    never = SkippedEngine(INT8, "no such provider")
    _, [trial] = choose_engine({CPU_FP32: 100}, CPU_FP32, lambda _: RankingComparison(1), [never])
    assert trial.verdict == "exact, and no faster engine has the same ranking"
