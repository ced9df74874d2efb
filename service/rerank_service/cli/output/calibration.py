"""Tables of `rerank calibrate`."""

from rich.table import Table

from rerank_service.quantities import counted
from rerank_service.tools.calibration.calibrate import CalibrationResult
from rerank_service.tools.calibration.quality import Quality

_ERROR_NAMES = {"probability": "Brier score", "grade": "squared error"}


def quality_table(result: CalibrationResult) -> Table:
    """Return one row for the scores before calibration, and one for each method on held-out labels."""
    table = Table(
        title=f"{counted(len(result.sample), 'label')} of {counted(result.queries, 'query')}", title_justify="left"
    )
    table.add_column("scores")
    table.add_column(_ERROR_NAMES[result.calibration.meaning], justify="right")
    table.add_column("expected calibration error", justify="right")
    table.add_row("before", *_errors(result.before))
    for method, held_out in result.choice.held_out.items():
        style = "bold green" if held_out is result.choice.chosen else None
        table.add_row(f"{method}, held out", *_errors(held_out.quality), style=style)
    return table


def grades_table(result: CalibrationResult) -> Table:
    """Return one row for each label, with the mean score of its documents."""
    table = Table(title="mean scores", title_justify="left")
    for name in ("label", "labels", "ideal", "before", "calibrated"):
        table.add_column(name, justify="right")
    for grade in result.grades:
        table.add_row(
            str(grade.label), f"{grade.labels:,}", f"{grade.target:.2f}", f"{grade.before:.3f}", f"{grade.after:.3f}"
        )
    return table


def _errors(quality: Quality) -> tuple[str, str]:
    return f"{quality.squared_error:.4f}", f"{quality.calibration_error:.4f}"
