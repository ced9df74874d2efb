"""What a calibration found, as tables."""

from rich.table import Table

from rerank_service.quantities import counted
from rerank_service.tools.calibration.calibrate import Calibrated
from rerank_service.tools.calibration.quality import Quality

_ERROR = {"probability": "Brier score", "grade": "squared error"}


def quality_table(found: Calibrated) -> Table:
    """One row for the scores before, and one a method that was tried."""
    table = Table(
        title=f"{counted(len(found.sample), 'label')} of {counted(found.queries, 'query')}", title_justify="left"
    )
    table.add_column("scores")
    table.add_column(_ERROR[found.calibration.meaning], justify="right")
    table.add_column("expected calibration error", justify="right")
    table.add_row("before", *_figures(found.before))
    for method, one in found.choice.tried.items():
        style = "bold green" if one is found.choice.chosen else None
        table.add_row(f"{method}, held out", *_figures(one.quality), style=style)
    return table


def grades_table(found: Calibrated) -> Table:
    """One row a label: what documents of it score on average."""
    table = Table(title="mean scores", title_justify="left")
    for name in ("label", "labels", "ideal", "before", "calibrated"):
        table.add_column(name, justify="right")
    for grade in found.grades:
        table.add_row(
            str(grade.label), f"{grade.labels:,}", f"{grade.target:.2f}", f"{grade.before:.3f}", f"{grade.after:.3f}"
        )
    return table


def _figures(one: Quality) -> tuple[str, str]:
    return f"{one.squared_error:.4f}", f"{one.calibration_error:.4f}"
