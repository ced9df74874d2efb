"""Calibration of labels and logits: methods, held-out errors and grades (calibrate, fit, method_choice)."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.errors import CalibrationFailed
from rerank_service.ranking.calibration_curve import Platt, sigmoid
from rerank_service.ranking.scores import Activation
from rerank_service.tools.calibration.calibrate import CalibrationResult, calibrate
from rerank_service.tools.calibration.labels_file import LabelledQuery

Probability = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _labelled(queries: int, probability: Probability) -> tuple[list[LabelledQuery], list[NDArray[np.float32]]]:
    """Return queries of 20 documents with random logits. A document is relevant with `probability(logit)`."""
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 3, 20).astype(np.float32) for _ in range(queries)]
    labels = [
        tuple((rng.random(20) < probability(values.astype(np.float64))).astype(int).tolist()) for values in logits
    ]
    places = ("f:1",) * 20
    return [LabelledQuery(str(at), ("d",) * 20, values, places) for at, values in enumerate(labels)], logits


def _calibrate(queries: int, probability: Probability, **options: object) -> CalibrationResult:
    labelled, logits = _labelled(queries, probability)
    settings = {"graded": False, "activation": Activation.SIGMOID} | options
    return calibrate(labelled, logits, **settings)  # type: ignore[arg-type]


def test_platt_recovers_the_sigmoid_of_the_labels() -> None:
    """Slope and intercept are recovered, and the calibration error falls below 0.02."""
    result = _calibrate(500, lambda logits: sigmoid(0.5 * logits - 1), method="platt")
    curve = result.calibration.curve
    assert isinstance(curve, Platt)
    assert curve.slope == pytest.approx(0.5, abs=0.02)
    assert curve.intercept == pytest.approx(-1, abs=0.06)
    assert result.after.calibration_error < 0.02 < 0.1 < result.before.calibration_error
    assert result.after.squared_error < result.before.squared_error


def test_isotonic_is_chosen_for_many_labels_that_no_sigmoid_fits() -> None:
    """Probabilities in steps. With few labels only Platt scaling is tried, unless isotonic is requested."""

    def steps(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(logits > 2, 0.9, np.where(logits > -4, 0.5, 0.05))

    result = _calibrate(500, steps)
    assert result.calibration.curve.method == "isotonic"
    held_out = result.choice.held_out
    assert held_out["isotonic"].quality.squared_error < held_out["platt"].quality.squared_error
    assert _calibrate(40, steps).choice.held_out.keys() == {"platt"}
    assert _calibrate(40, steps, method="isotonic").calibration.curve.method == "isotonic"


def test_isotonic_curve_has_no_ties_between_its_ends() -> None:
    """It is centred: also where the labels show no difference, a higher logit has a higher score."""
    curve = _calibrate(500, lambda logits: np.where(logits > 0, 0.8, 0.2), method="isotonic").calibration.curve
    assert curve.method == "isotonic"
    inside = np.linspace(curve.logits[0], curve.logits[-1], 1000)
    assert np.all(np.diff(curve.scores(inside)) > 0)


def test_perfectly_separated_labels_give_no_certain_scores() -> None:
    """No score is 0 or 1, and the slope is finite."""
    for method in ("platt", "isotonic"):
        result = _calibrate(20, lambda logits: (logits > 0).astype(np.float64), method=method)
        scores = result.calibration.scores(np.array([-50.0, 50.0] if method == "isotonic" else [-3.0, 3.0]))
        assert 0 < scores[0] < 0.2
        assert 0.8 < scores[1] < 1


def test_only_an_isotonic_curve_ends_at_the_targets_of_platt() -> None:
    """docs/evaluation.md says so. A sigmoid has no ends."""
    for method in ("platt", "isotonic"):
        result = _calibrate(20, lambda logits: (logits > 0).astype(np.float64), method=method)
        low, high = result.sample.score_bounds
        scores = result.calibration.scores(np.array([-30.0, 30.0]))
        within = bool(low <= scores[0] and scores[1] <= high)
        assert within == (method == "isotonic")


def test_inverted_labels_are_rejected() -> None:
    """Such scores would reverse the ranking."""
    for method in ("platt", "isotonic"):
        with pytest.raises(CalibrationFailed, match="a higher logit does not mean more relevance"):
            _calibrate(40, lambda logits: sigmoid(-logits), method=method)


def test_equal_logits_are_rejected() -> None:
    """They do not distinguish documents."""
    labelled, logits = _labelled(10, sigmoid)
    with pytest.raises(CalibrationFailed, match="a higher logit"):
        calibrate(labelled, [np.zeros_like(values) for values in logits], graded=False, activation=Activation.SIGMOID)


def test_folds_of_few_queries_split_queries() -> None:
    """Three queries cannot fill five folds of whole queries."""
    assert len(_calibrate(3, sigmoid).choice.chosen.scores) == 60


def test_grades_are_evenly_spaced_whatever_their_frequency() -> None:
    """Targets go from 0 to 1. The scores of a model that separates the grades are close to them."""
    rng = np.random.default_rng(1)
    grades = rng.choice(5, 4000, p=[0.8, 0.1, 0.05, 0.03, 0.02])
    logits = (2.0 * grades - 7 + rng.normal(0, 0.8, 4000)).astype(np.float32)
    parts = np.arange(4000).reshape(200, 20)
    labelled = [
        LabelledQuery(str(at), ("d",) * 20, tuple(grades[part].tolist()), ("f:1",) * 20)
        for at, part in enumerate(parts)
    ]
    result = calibrate(labelled, [logits[part] for part in parts], graded=True, activation=Activation.SIGMOID)
    assert result.calibration.meaning == "grade"
    assert [grade.target for grade in result.grades] == [0, 0.25, 0.5, 0.75, 1]
    for grade in result.grades:
        assert grade.after == pytest.approx(grade.target, abs=0.08)
