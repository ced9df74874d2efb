"""Growth of cost: slopes, verdicts, the model for more cores, and the page."""

from pathlib import Path

import pytest

from bench.host import host_of
from bench.scale.growth import CoreModel, Point, Sweep, slope
from bench.scale.page import page
from bench.scale.pictures import draw
from bench.scale.sweeps import Sizes, Sweeps
from support.child_processes import children


def _sweep(exponent: float, fixed: float = 0.0) -> Sweep:
    points = [Point(x, fixed + x**exponent, fixed + 2 * x**exponent, 100.0) for x in (1, 10, 100, 1_000)]
    return Sweep("documents per request", "one client", points)


def test_slope_is_the_exponent() -> None:
    """Of a power law it is exact."""
    assert slope([1, 2, 4], [3, 12, 48]) == pytest.approx(2.0)
    assert slope([1, 2, 4], [5, 5, 5]) == pytest.approx(0.0)


def test_growth_beyond_linear_is_a_fault() -> None:
    """Also if fixed costs hide it at the first points."""
    assert _sweep(1.0).fault == ""
    assert "exponent 2.00" in _sweep(2.0).fault
    hidden = _sweep(2.0, fixed=5_000.0)
    assert hidden.slope < 1.15
    assert hidden.fault


def test_more_cores_are_bounded_by_the_serial_part_and_the_event_loop() -> None:
    """Amdahl's law between one lane and two."""
    perfect = CoreModel(100.0, 200.0, loop_seconds=1e-3)
    assert perfect.serial == 0
    assert [perfect.documents_per_second(cores) for cores in (1, 8, 64)] == [100, 800, 1000]
    assert CoreModel(100.0, 100.0, 1e-9).documents_per_second(64) == 100


def test_page_names_slopes_and_faults(tmp_path: Path) -> None:
    """Each sweep has a picture below 150 KB."""
    model = CoreModel(100.0, 190.0, 1e-4)
    for sweep, verdict in ((_sweep(1.0), "linear or less"), (_sweep(2.0), "p50 grows with exponent 2.00")):
        picture = tmp_path / "picture.png"
        draw(sweep, picture, model)
        assert 1_000 < picture.stat().st_size < 150_000
        text = page([sweep], model, host_of("", 2), "2026-01-01", {sweep.name: picture.name}, load=9.5)
        assert "busy machine, preliminary" in text
        assert verdict in text
        assert f"slope {sweep.slope:.2f}" in text or f"{sweep.slope:.2f} |" in text


def test_lanes_and_models_are_measured_and_no_process_is_left(tmp_path: Path) -> None:
    """With real processes, at the smallest sizes. The other sweeps use the same parts."""
    before = children()
    lines: list[str] = []
    sweeps = Sweeps(tmp_path, Sizes(seconds=0.2, models=(2,)), lines.append)
    points = [*sweeps.lanes().points, *sweeps.models().points]
    assert [point.x for point in points] == [1, 2, 2]
    assert min(point.documents_per_second for point in points) > 0
    assert sweeps.loop_seconds > 0
    assert children() <= before
