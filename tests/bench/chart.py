"""Draw the figures of a run: throughput of every system, and latency by load level.

`make bench` draws its results. To draw a committed run again without measuring, give its JSON file:

    PYTHONPATH=tests .venv/bin/python -m bench.chart docs/bench/<processor>.json
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from bench.pool import Loss
from bench.systems import OURS, Use

Json = Mapping[str, Any]

_OURS, _PEER, _PEER_INT8 = "#1f6fb4", "#7f868c", "#c9cdd1"
_LINES = ("#1f6fb4", "#e07b00", "#2e8540")
_LOSS, _HATCH = "#c0392b", "////"
_INCHES_PER_BAR = 0.36
_EXPLAINED = (
    Patch(color=_OURS, label="rerank-service"),
    Patch(color=_PEER, label="peer, fp32 or bf16"),
    Patch(color=_PEER_INT8, label="peer, int8"),
    Patch(facecolor="white", edgecolor=_LOSS, hatch=_HATCH, label="ranking out of bounds"),
)


def draw(figures: Json, path: Path) -> None:
    """Write a PNG of a run's figures, in the form of `Results.as_json`."""
    bars = sum(bool(record["median_documents_per_second"]) for record in figures["records"])
    figure = Figure(figsize=(14, max(7.5, _INCHES_PER_BAR * bars)), layout=ConstrainedLayoutEngine(wspace=0.06))
    throughput, latency = figure.subplots(1, 2, width_ratios=(5, 4))
    host = figures["host"]
    stand_in = " without AMX" if host.get("hidden") else ""
    figure.suptitle(f"make bench on {host['cpu']}{stand_in}, {host['cores']} cores, {figures['date']}", fontsize=14)
    _draw_throughput(throughput, figures)
    _draw_latency(latency, figures)
    figure.savefig(path, dpi=110)


def _draw_throughput(axes: Axes, figures: Json) -> None:
    """Draw one bar for each system, the fastest at the top."""
    measured = [record for record in figures["records"] if record["median_documents_per_second"]]
    measured.sort(key=lambda record: record["median_documents_per_second"])
    labels = [_label(record, figures["served"]["precision"]) for record in measured]
    speeds = [record["median_documents_per_second"] for record in measured]
    bars = axes.barh(labels, speeds, color=[_colour(record) for record in measured])
    for bar, record in zip(bars, measured, strict=True):
        if _ranks_worse(record):
            bar.set(hatch=_HATCH, edgecolor=_LOSS, linewidth=0)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=11)
    axes.margins(x=0.09, y=0.02)
    axes.tick_params(axis="y", labelsize=11, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("(defaults): one call per request. Other peers: best batch size.", fontsize=11)
    axes.set_title("Documents per second (more is better)", fontsize=13)
    axes.legend(handles=_EXPLAINED, fontsize=11, loc="lower right", frameon=False)


def _label(record: Json, served_precision: str) -> str:
    if record["use"] == Use.BARE.value:
        return f"rerank-service, engine alone, {served_precision}"
    defaults = " (defaults)" if record["use"] == Use.AS_USERS_DO.value else ""
    return f"{record['name']}, {record['precision'] or served_precision}{defaults}"


def _colour(record: Json) -> str:
    if record["peer"] == OURS:
        return _OURS
    return _PEER_INT8 if record["precision"] == "int8" else _PEER


def _ranks_worse(record: Json) -> bool:
    """Return whether the relevance loss of a system is beyond the bounds of `auto`. Older runs lack the figure."""
    loss = record.get("relevance_loss")
    return loss is not None and not Loss(**loss).passes


def _draw_latency(axes: Axes, figures: Json) -> None:
    """Draw p50 and p99 of each server by the number of clients."""
    if not figures["levels"]:
        axes.set_axis_off()
        return
    names = dict.fromkeys(level["system"] for level in figures["levels"])
    for name, colour in zip(names, _LINES, strict=False):
        levels = [level for level in figures["levels"] if level["system"] == name]
        _draw_percentiles(axes, name, levels, colour)
    clients: Sequence[int] = figures["options"]["level_clients"]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(clients, [str(count) for count in clients], fontsize=11)
    seconds = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
    axes.set_yticks(seconds, [f"{second:g} s" for second in seconds], fontsize=11)
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color="#e3e5e7")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("clients that send requests at the same time", fontsize=11)
    axes.set_title(f"Latency of {figures['options']['documents']} documents (less is better)", fontsize=13)
    axes.legend(fontsize=11, loc="upper left", frameon=False)


def _draw_percentiles(axes: Axes, name: str, levels: Sequence[Json], colour: str) -> None:
    clients = [level["clients"] for level in levels]
    for percentile, style in (("p50", "o-"), ("p99", "^:")):
        seconds = [level["summary"]["latency"][percentile] for level in levels]
        axes.plot(clients, seconds, style, color=colour, label=f"{name}, {percentile}")


if __name__ == "__main__":
    for figures_file in map(Path, sys.argv[1:]):
        draw(json.loads(figures_file.read_text(encoding="utf-8")), figures_file.with_suffix(".png"))
