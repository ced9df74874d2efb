"""The reliability diagram (DeGroot and Fienberg, The comparison and evaluation of forecasters, 1983), with how many
labels there are of each score. Needs the extra `calibrate`."""

from pathlib import Path

import numpy as np

from rerank_service.quantities import counted
from rerank_service.tools.calibration.calibrate import Calibrated

_SIDES = np.linspace(0, 1, 21)
_BEFORE, _AFTER = "tab:gray", "tab:blue"
_SAID = {"probability": "share that is relevant", "grade": "mean grade, from 0 to 1"}


def draw(found: Calibrated, path: Path) -> None:
    """Write it as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 7), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":", label="ideal")
    for name, one, colour in (("before", found.before, _BEFORE), ("calibrated, held out", found.after, _AFTER)):
        figures = f"{name}: error {one.squared_error:.4f}, calibration error {one.calibration_error:.4f}"
        above.plot(
            [part.score for part in one.bins], [part.label for part in one.bins], "o-", color=colour, label=figures
        )
    above.set(ylabel=_SAID[found.calibration.meaning], ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    above.set_title(f"{found.calibration}; {counted(len(found.sample), 'label')} of {counted(found.queries, 'query')}")
    above.legend(fontsize="small")
    after = found.choice.chosen.scores
    below.hist(
        [np.clip(found.before_scores, 0, 1), after], _SIDES, color=[_BEFORE, _AFTER], label=["before", "calibrated"]
    )
    below.set(xlabel="score", ylabel="labels", yscale="symlog")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
