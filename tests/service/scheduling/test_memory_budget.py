"""The token budget after a batch ran out of memory."""

from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.memory_budget import TokenBudget


def test_budget_is_half_of_the_failed_batch() -> None:
    """Two batches that fail at the same time give one result."""
    budget = TokenBudget(1000)
    budget.shrink(800)
    budget.shrink(800)
    assert budget.tokens == 400
    budget.shrink(300)
    assert budget.tokens == 150


def test_large_batches_raise_the_budget_slowly() -> None:
    """Small batches do not count. The budget never exceeds its initial value."""
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
def test_budget_stays_between_1_and_its_maximum(most: int, batches: list[tuple[bool, int]]) -> None:
    """For any sequence of batches."""
    budget = TokenBudget(most)
    for ran, tokens in batches:
        (budget.grow if ran else budget.shrink)(tokens)
        assert 1 <= budget.tokens <= most
