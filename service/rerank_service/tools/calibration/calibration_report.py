"""A calibration as JSON."""

from dataclasses import asdict
from typing import Any

from rerank_service.tools.calibration.calibrate import Calibrated
from rerank_service.tools.calibration.method_choice import FOLDS
from rerank_service.tools.calibration.quality import Quality


def report(found: Calibrated) -> dict[str, Any]:
    """All that the tables and the picture show, and the curve."""
    return {
        "calibration": found.calibration.model_dump(mode="json"),
        "labels": len(found.sample),
        "queries": found.queries,
        "folds": FOLDS,
        "before": _quality(found.before),
        "held_out": {method: _quality(one.quality) for method, one in found.choice.tried.items()},
        "grades": [asdict(grade) for grade in found.grades],
    }


def _quality(one: Quality) -> dict[str, Any]:
    """Under the names of what is measured."""
    return {
        "squared_error": one.squared_error,
        "calibration_error": one.calibration_error,
        "bins": [asdict(part) for part in one.bins],
    }
