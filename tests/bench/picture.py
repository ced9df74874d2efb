"""The results as a picture: who does how much, and how long answers take under load."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contestants import OURS, Use
from bench.results import Results

_OURS, _PEERS = "tab:blue", "tab:gray"


def draw(results: Results, path: Path) -> None:
    """Write a PNG."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    throughput, latency = figure.subplots(1, 2)
    variant = f"{results.served.precision} on {results.served.provider}"
    figure.suptitle(f"{results.host.cpu}, {results.host.cores} cores, {results.date}; served: {variant}", fontsize=10)
    _throughput(throughput, results)
    _latency(latency, results)
    figure.savefig(path, dpi=120)


def _throughput(axes: Axes, results: Results) -> None:
    """One bar a contestant, the quickest on top."""
    measured = sorted((record for record in results.records if record.speed), key=lambda record: record.speed or 0.0)
    labels = [
        f"{one.contestant.name} {one.contestant.precision}{' (defaults)' * (one.contestant.use is Use.AS_USERS_DO)}"
        for one in measured
    ]
    colours = [_OURS if one.contestant.peer == OURS else _PEERS for one in measured]
    bars = axes.barh(labels, [one.speed or 0.0 for one in measured], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title("documents/s, 20 to 400 tokens each", fontsize=10)


def _latency(axes: Axes, results: Results) -> None:
    """p50 and p99 by load level."""
    for name in dict.fromkeys(level.contestant for level in results.levels):
        levels = [level for level in results.levels if level.contestant == name]
        clients = [level.clients for level in levels]
        (line,) = axes.plot(clients, [level.summary.latency.p50 for level in levels], marker="o", label=f"{name}, p50")
        p99 = [level.summary.latency.p99 for level in levels]
        axes.plot(clients, p99, marker="^", linestyle=":", color=line.get_color(), label=f"{name}, p99")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(results.options.level_clients, [str(clients) for clients in results.options.level_clients])
    axes.set_xlabel("clients")
    axes.set_title(f"seconds of a request of {results.options.documents} documents", fontsize=10)
    axes.legend(fontsize=8)
