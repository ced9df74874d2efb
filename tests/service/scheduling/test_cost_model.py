"""The cost model, fitted to batches with a known cost."""

import random

import pytest

from rerank_service.scheduling.cost_model import CostModel


def _truth(rows: int, length: int) -> float:
    return 0.002 + rows * length / 5000 + 3e-8 * rows * length * length


def test_cost_is_learned_from_noisy_batches() -> None:
    """The estimate is within 10 %, from batches of all shapes, whatever the initial weights."""
    dice = random.Random(1)
    for believed in (100.0, 1_000_000.0):
        model = CostModel((0.0, 1e3 / believed, 0.0))
        for _ in range(200):
            rows, length = dice.randint(1, 32), dice.randrange(8, 513, 8)
            model.observe(rows, length, _truth(rows, length) * dice.uniform(0.9, 1.1))
        for rows, length in ((1, 16), (8, 128), (4, 512)):
            assert model.seconds(rows, length) == pytest.approx(_truth(rows, length), rel=0.1)


def test_cost_follows_a_machine_that_becomes_slower() -> None:
    """Old batches are forgotten."""
    dice = random.Random(2)
    model = CostModel()
    for slower in (1, 2):
        for _ in range(1500):
            rows, length = dice.randint(1, 32), dice.randrange(8, 513, 8)
            model.observe(rows, length, slower * _truth(rows, length))
    assert model.seconds(8, 128) == pytest.approx(2 * _truth(8, 128), rel=0.05)


def test_batches_of_one_shape_do_not_change_the_estimate_of_others() -> None:
    """A monitor may repeat one document for days. Without a bound, the variance of other shapes would grow without
    end."""
    dice = random.Random(3)
    model = CostModel()
    for _ in range(300):
        rows, length = dice.randint(1, 32), dice.randrange(8, 513, 8)
        model.observe(rows, length, _truth(rows, length))
    for _ in range(30_000):
        model.observe(2, 512, _truth(2, 512) * dice.uniform(1.0, 1.2))
    assert model.seconds(2, 512) == pytest.approx(1.1 * _truth(2, 512), rel=0.1)
    assert model.seconds(20, 48) == pytest.approx(_truth(20, 48), rel=0.6)


def test_estimate_is_never_zero() -> None:
    """Contradictory batches still give a positive duration."""
    model = CostModel()
    for rows, length, seconds in ((1, 8, 5.0), (64, 512, 0.001), (1, 512, 0.0), (64, 8, 3.0)):
        model.observe(rows, length, seconds)
    assert all(model.seconds(rows, length) > 0 for rows in (1, 64) for length in (8, 512))


@pytest.mark.parametrize(
    ("start", "rows"), [(0.0, 30), (0.01, 20), (0.015, 15), (0.02, 20), (0.03, 30), (0.3, 300)], ids=str
)
def test_rows_within_a_time_are_worth_their_start(start: float, rows: int) -> None:
    """A row takes 1 ms, and a batch may take 30 ms, or twice its start."""
    assert CostModel((start, 0.1, 0.0)).rows_within(0.0301, 10) == pytest.approx(rows, abs=1)


@pytest.mark.parametrize("batches", [0, 100])
@pytest.mark.parametrize("stall", [1.0, 100.0, 86_400.0])
def test_one_batch_during_which_the_process_stood_still_changes_little(stall: float, batches: int) -> None:
    """SIGSTOP, a frozen container, a paused machine. Otherwise admission would reject requests by a wrong forecast."""
    model = CostModel()
    for rows, length in ((4, 8), (4, 16), (4, 64), (1, 512), *[(16, 128)] * batches):
        model.observe(rows, length, _truth(rows, length))
    shapes = ((1, 32), (16, 128), (4, 512))
    before = [model.seconds(*shape) for shape in shapes]
    model.observe(16, 128, stall)
    assert [model.seconds(*shape) for shape in shapes] == pytest.approx(before, rel=0.2)
