"""JSON report of a calibration."""

from dataclasses import asdict
from typing import Any

from rerank_service.tools.calibration.calibrate import CalibrationResult
from rerank_service.tools.calibration.method_choice import FOLDS
from rerank_service.tools.calibration.quality import Quality


def calibration_report(result: CalibrationResult) -> dict[str, Any]:
    """Return the curve, and all numbers of the tables and the reliability diagram."""
    return {
        "calibration": result.calibration.model_dump(mode="json"),
        "labels": len(result.sample),
        "queries": result.queries,
        "folds": FOLDS,
        "before": _quality(result.before),
        "held_out": {method: _quality(held_out.quality) for method, held_out in result.choice.held_out.items()},
        "grades": [asdict(grade) for grade in result.grades],
    }


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        "squared_error": quality.squared_error,
        "calibration_error": quality.calibration_error,
        "bins": [asdict(part) for part in quality.bins],
    }
