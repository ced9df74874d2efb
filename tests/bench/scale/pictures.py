"""Draw the sweeps: one picture each, with its slope."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.scale.growth import CORES, CoreModel, Sweep


def draw(sweep: Sweep, path: Path, model: CoreModel | None = None) -> None:
    """Write a PNG of latency and throughput. With a model, throughput has its forecast for more cores."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    xs = [point.x for point in sweep.points]
    latency.plot(xs, [point.p50 for point in sweep.points], "o-", label="p50")
    latency.plot(xs, [point.p99 for point in sweep.points], "^:", label="p99")
    latency.set_title("seconds of a request")
    throughput.plot(xs, [point.documents_per_second for point in sweep.points], "o-", label="measured")
    if model is not None:
        throughput.plot(CORES, [model.documents_per_second(cores) for cores in CORES], ":", label="forecast")
    throughput.set_title("documents per second")
    for axes in (latency, throughput):
        _scale(axes, sweep.name)
    figure.suptitle(f"{sweep.name}: slope {sweep.slope:.2f} ({sweep.setting})")
    figure.savefig(path, dpi=75)


def _scale(axes: Axes, name: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(name)
    axes.grid(color="#e3e5e7")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
