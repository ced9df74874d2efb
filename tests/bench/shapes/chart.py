"""Draw the throughput of each shape beside the peer's best setting and default use.

To draw a committed run again without measuring: `python -m bench.shapes.chart docs/bench/shapes/<processor>.json`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.shapes.results import ShapeResult, parse
from bench.systems import Use

_COLOURS = ("#1f6fb4", "#7f868c", "#c9cdd1")
_LABELS = ("rerank-service", "sentence-transformers, best setting", "sentence-transformers, default use")
_WIDTH = 0.27


def draw(results: Sequence[ShapeResult], title: str, path: Path) -> None:
    """Write a PNG with a row of bars for each document length."""
    lengths = [length.tokens for length in results[0].lengths]
    figure = Figure(figsize=(max(7.0, 2.0 * len(results)), 2.6 * len(lengths)), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for axes, number in zip(figure.subplots(len(lengths), 1, squeeze=False).ravel(), range(len(lengths)), strict=True):
        _draw_length(axes, results, number)
        axes.set_title(f"documents of {lengths[number]} tokens: documents per second (more is better)", fontsize=10)
    figure.axes[0].legend(fontsize=9, frameon=False)
    figure.savefig(path, dpi=90)


def _draw_length(axes: Axes, results: Sequence[ShapeResult], number: int) -> None:
    for bar, (colour, label) in enumerate(zip(_COLOURS, _LABELS, strict=True)):
        places = [at + (bar - 1) * _WIDTH for at in range(len(results))]
        bars = axes.bar(places, [_speeds(result, number)[bar] for result in results], _WIDTH, color=colour, label=label)
        axes.bar_label(bars, fmt="%.3g", fontsize=8)
    axes.set_xticks(range(len(results)), [result.shape.replace(" (", "\n(") for result in results], fontsize=8)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _speeds(result: ShapeResult, number: int) -> tuple[float, float, float]:
    length = result.lengths[number]
    best, in_use = length.fastest(*(use.value for use in Use)), length.fastest(Use.AS_USERS_DO.value)
    return (
        length.ours,
        best.documents_per_second if best else 0.0,
        in_use.documents_per_second if in_use else 0.0,
    )


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        figures = json.loads(file.read_text(encoding="utf-8"))
        draw([parse(shape) for shape in figures["shapes"]], figures["title"], file.with_suffix(".png"))
