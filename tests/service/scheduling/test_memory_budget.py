"""How many tokens a batch may have after one found no memory."""

from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.memory_budget import TokenBudget


def test_half_of_what_found_no_memory_is_tried() -> None:
    """Of two batches that fail at once, each says the same."""
    budget = TokenBudget(1000)
    budget.shrink(800)
    budget.shrink(800)
    assert budget.tokens == 400
    budget.shrink(300)
    assert budget.tokens == 150


def test_what_runs_raises_it_slowly() -> None:
    """Small batches show nothing; the first budget is never passed."""
    budget = TokenBudget(4096)
    budget.shrink(4096)
    budget.grow(10)
    assert budget.tokens == 2048
    for _ in range(10):
        budget.grow(2048)
    assert budget.tokens == 2088
    for _ in range(2000):
        budget.grow(4096)
    assert budget.tokens == 4096


@given(st.integers(1, 100_000), st.lists(st.tuples(st.booleans(), st.integers(1, 100_000))))
def test_it_stays_between_a_row_and_the_most(most: int, batches: list[tuple[bool, int]]) -> None:
    """Whatever happens."""
    budget = TokenBudget(most)
    for ran, tokens in batches:
        (budget.grow if ran else budget.shrink)(tokens)
        assert 1 <= budget.tokens <= most
