"""One model's overload leaves the latency of another alone.

Covers lane_shares, fair_queue, admission and forecast together, on a simulated clock.
"""

from typing import Any

import pytest

from support.lane_simulation import SimulatedMachine, SimulatedModel

SECONDS = 60.0
_MEAN_TOKENS = 90
_SIZES = (3, 10, 25, 100)


def model(
    name: str, load: float, documents: tuple[int, ...] = _SIZES, speed: float = 8_500.0, **changes: Any
) -> SimulatedModel:
    """Return a model with two lanes. `load` is a multiple of the capacity of the machine."""
    rate = load * 2 * speed / (_MEAN_TOKENS * sum(documents) / len(documents))
    return SimulatedModel(name, rate, documents, lane_speed=speed, **changes)


@pytest.mark.parametrize(
    ("documents", "speed"), [(1, 8_500.0), (3, 8_500.0), (10, 8_500.0), (25, 8_500.0), (3, 25_000.0)]
)
def test_p99_of_a_model_stays_within_twice_its_idle_value_beside_an_overloaded_one(
    documents: int, speed: float
) -> None:
    """Model A has 3 times the load that the machine can compute; B uses a tenth of the machine."""
    idle = model("b", 0.1, (documents,), speed)
    SimulatedMachine(idle).run(SECONDS)
    a, b = model("a", 3.0, speed=speed), model("b", 0.1, (documents,), speed)
    SimulatedMachine(a, b).run(SECONDS)
    assert b.p99() <= 2.0 * idle.p99()
    assert (b.refused, b.late) == (0, 0)
    assert a.refused > 0
    assert a.late <= 0.02 * len(a.latencies)
    assert a.busy_seconds + b.busy_seconds >= 0.95 * SECONDS


def test_p99_would_not_stay_without_bursts_and_short_batches() -> None:
    """Fair shares alone make a light model wait for its part, batch by batch."""
    idle, without = model("b", 0.1, (25,)), model("b", 0.1, (25,))
    SimulatedMachine(idle).run(SECONDS)
    SimulatedMachine(model("a", 3.0), without, burst_seconds=0.0, batch_seconds=10.0).run(SECONDS)
    assert without.p99() > 2.0 * idle.p99()


def test_overloaded_models_share_the_machine_by_weight() -> None:
    """Their accepted requests meet their deadlines, since each forecast knows the use of the others."""
    a, b = model("a", 3.0, weight=3.0), model("b", 3.0)
    SimulatedMachine(a, b).run(SECONDS)
    assert a.busy_seconds / b.busy_seconds == pytest.approx(3.0, rel=0.1)
    for each in (a, b):
        assert each.refused > 0
        assert each.late <= 0.03 * len(each.latencies)


def test_models_with_different_numbers_of_lanes_share_by_weight() -> None:
    """A model with one lane gets its part, too. It costs some capacity: a lane waits for the other before its batch."""
    a, b = model("a", 3.0), model("b", 3.0, lanes=1)
    SimulatedMachine(a, b).run(SECONDS)
    assert a.busy_seconds / b.busy_seconds == pytest.approx(1.0, rel=0.1)
    assert a.busy_seconds + b.busy_seconds >= 0.8 * SECONDS


def test_a_second_load_begins() -> None:
    """The requests that the first model has accepted by then do not all become late."""
    a, b = model("a", 3.0), model("b", 3.0, start=SECONDS / 2)
    SimulatedMachine(a, b).run(SECONDS)
    assert b.busy_seconds == pytest.approx(SECONDS / 4, rel=0.1)
    assert a.late <= 0.05 * len(a.latencies)
