"""Draw a reliability diagram and a histogram of the scores. Needs the extra `calibrate`.

Source: DeGroot and Fienberg, The comparison and evaluation of forecasters, 1983.
"""

from pathlib import Path

import numpy as np

from rerank_service.quantities import counted
from rerank_service.tools.calibration.calibrate import CalibrationResult

_HISTOGRAM_EDGES = np.linspace(0, 1, 21)
_BEFORE_COLOUR, _AFTER_COLOUR = "tab:gray", "tab:blue"
_Y_LABELS = {"probability": "share of relevant documents", "grade": "mean grade, from 0 to 1"}


def draw_reliability(result: CalibrationResult, path: Path) -> None:
    """Write the diagram as PNG. Missing folders are created."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 7), dpi=120, layout="constrained")
    reliability, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    reliability.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":", label="ideal")
    for name, quality, colour in (
        ("before", result.before, _BEFORE_COLOUR),
        ("calibrated, held out", result.after, _AFTER_COLOUR),
    ):
        scores, labels = [part.score for part in quality.bins], [part.label for part in quality.bins]
        errors = f"error {quality.squared_error:.4f}, calibration error {quality.calibration_error:.4f}"
        reliability.plot(scores, labels, "o-", color=colour, label=f"{name}: {errors}")
    reliability.set(ylabel=_Y_LABELS[result.calibration.meaning], ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    size = f"{counted(len(result.sample), 'label')} of {counted(result.queries, 'query')}"
    reliability.set_title(f"{result.calibration}; {size}")
    reliability.legend(fontsize="small")
    histogram.hist(
        [np.clip(result.before_scores, 0, 1), result.choice.chosen.scores],
        _HISTOGRAM_EDGES,
        color=[_BEFORE_COLOUR, _AFTER_COLOUR],
        label=["before", "calibrated"],
    )
    histogram.set(xlabel="score", ylabel="labels", yscale="symlog")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
