"""A calibration: it says what labels say, on those that it has not seen, and it is kept whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service import __main__ as entry
from rerank_service.errors import CalibrationFailed
from rerank_service.installation import install_command
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.variants.derive import identity
from rerank_service.ranking.calibration_curve import Platt, sigmoid
from rerank_service.ranking.scores import Activation
from rerank_service.tools.calibration.calibrate import Calibrated, calibrate
from rerank_service.tools.calibration.labels_file import Labelled

Chance = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _labelled(queries: int, chance: Chance, *, seed: int = 0) -> tuple[list[Labelled], list[NDArray[np.float32]]]:
    """20 documents a query, relevant by chance of their logit."""
    rng = np.random.default_rng(seed)
    logits = [rng.normal(0, 3, 20).astype(np.float32) for _ in range(queries)]
    labels = [tuple((rng.random(20) < chance(one.astype(np.float64))).astype(int).tolist()) for one in logits]
    places = ("f:1",) * 20
    return [Labelled(str(at), ("d",) * 20, one, places) for at, one in enumerate(labels)], logits


def _calibrate(queries: int, chance: Chance, **options: object) -> Calibrated:
    labelled, logits = _labelled(queries, chance)
    settings = {"graded": False, "activation": Activation.SIGMOID} | options
    return calibrate(labelled, logits, **settings)  # type: ignore[arg-type]


def test_platt_finds_the_sigmoid_that_labels_were_drawn_by() -> None:
    """Slope and intercept, and scores that mean what they say."""
    found = _calibrate(500, lambda logits: sigmoid(0.5 * logits - 1), method="platt")
    curve = found.calibration.curve
    assert isinstance(curve, Platt)
    assert curve.slope == pytest.approx(0.5, abs=0.02)
    assert curve.intercept == pytest.approx(-1, abs=0.06)
    assert found.after.calibration_error < 0.02 < 0.1 < found.before.calibration_error
    assert found.after.squared_error < found.before.squared_error


def test_isotonic_is_chosen_where_no_sigmoid_fits_and_labels_are_many() -> None:
    """Steps: a sigmoid cannot follow them, but of few labels nobody knows."""

    def steps(logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(logits > 2, 0.9, np.where(logits > -4, 0.5, 0.05))

    found = _calibrate(500, steps)
    assert found.calibration.curve.method == "isotonic"
    tried = found.choice.tried
    assert tried["isotonic"].quality.squared_error < tried["platt"].quality.squared_error
    assert _calibrate(40, steps).choice.tried.keys() == {"platt"}
    assert _calibrate(40, steps, method="isotonic").calibration.curve.method == "isotonic"


def test_labels_that_a_logit_separates_make_nothing_certain() -> None:
    """No score is 0 or 1, nor a slope infinite."""
    for method in ("platt", "isotonic"):
        found = _calibrate(20, lambda logits: (logits > 0).astype(np.float64), method=method)
        scores = found.calibration.scores(np.array([-50.0, 50.0] if method == "isotonic" else [-3.0, 3.0]))
        assert 0 < scores[0] < 0.2
        assert 0.8 < scores[1] < 1


def test_labels_the_wrong_way_round_are_refused() -> None:
    """Scores would turn the order around."""
    for method in ("platt", "isotonic"):
        with pytest.raises(CalibrationFailed, match="a higher logit does not mean more relevance"):
            _calibrate(40, lambda logits: sigmoid(-logits), method=method)


def test_logits_that_are_all_one_are_refused() -> None:
    """They tell nothing apart."""
    labelled, logits = _labelled(10, sigmoid)
    with pytest.raises(CalibrationFailed, match="a higher logit"):
        calibrate(labelled, [np.zeros_like(one) for one in logits], graded=False, activation=Activation.SIGMOID)


def test_few_queries_are_folded_by_labels() -> None:
    """A fold a query would leave nothing to fit."""
    assert len(_calibrate(3, sigmoid).choice.chosen.scores) == 60


def test_grades_lie_evenly_however_common_each_is() -> None:
    """0 for the lowest to 1 for the highest; on a model that tells them apart, near that."""
    rng = np.random.default_rng(1)
    grades = rng.choice(5, 4000, p=[0.8, 0.1, 0.05, 0.03, 0.02])
    logits = (2.0 * grades - 7 + rng.normal(0, 0.8, 4000)).astype(np.float32)
    parts = np.arange(4000).reshape(200, 20)
    labelled = [
        Labelled(str(at), ("d",) * 20, tuple(grades[part].tolist()), ("f:1",) * 20) for at, part in enumerate(parts)
    ]
    found = calibrate(labelled, [logits[part] for part in parts], graded=True, activation=Activation.SIGMOID)
    assert found.calibration.meaning == "grade"
    assert [grade.target for grade in found.grades] == [0, 0.25, 0.5, 0.75, 1]
    for grade in found.grades:
        assert grade.after == pytest.approx(grade.target, abs=0.08)


@pytest.fixture
def folder(small_model: Bundle, tmp_path: Path) -> Path:
    """A bundle of the small model, to be calibrated."""
    return Path(shutil.copytree(small_model.folder, tmp_path / "small"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """100 queries; a document of one number is relevant by a chance that grows with it."""
    rng = np.random.default_rng(2)
    path = tmp_path / "labels.jsonl"
    with path.open("w") as file:
        for query in range(100):
            numbers = rng.integers(0, 100, 8)
            relevant = (rng.random(8) < sigmoid(np.asarray(0.1 * numbers - 5, np.float64))).astype(int).tolist()
            line = {"query": str(query), "documents": [str(number) for number in numbers], "labels": relevant}
            file.write(json.dumps(line) + "\n")
    return path


@pytest.fixture
def rerank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The command, in this process."""
    monkeypatch.setenv("RERANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: entry._main([str(one) for one in arguments])


def test_a_wrong_setting_is_told_in_a_line(
    rerank: Callable[..., int],
    folder: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its variable, its value and what is allowed."""
    monkeypatch.setenv("RERANK_LANES", "many")
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == "rerank: --lanes or RERANK_LANES is 'many': give a whole number from 1 to 1024"


def test_a_calibration_is_kept_in_the_bundle(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which opens again, with another digest but the same graph; a picture lies beside it; the figures are told."""
    before = open_bundle(folder)
    assert rerank("calibrate", "--model", folder, "--labels", labels, "--json", "figures.json") == 0
    after = open_bundle(folder)
    curve = after.manifest.calibration and after.manifest.calibration.curve
    assert isinstance(curve, Platt)
    assert curve.slope == pytest.approx(0.1, abs=0.03)
    assert curve.intercept == pytest.approx(-5, abs=1.5)
    assert after.digest != before.digest
    assert (after.manifest.files, identity(after)) == (before.manifest.files, identity(before))
    assert after.manifest.recipe["calibration"]["labels"] == 800
    assert {path.name for path in folder.iterdir()} == {path.name for path in before.folder.iterdir()}
    assert (folder.parent / "small-reliability.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads(Path("figures.json").read_text())
    assert figures["held_out"]["platt"]["squared_error"] < figures["before"]["squared_error"]
    shown = capsys.readouterr()
    for words in ("Brier score", "expected calibration error", "platt, held out", "kept in"):
        assert words in shown.out
    assert shown.err.count("scoring labels") == 10


def test_a_copy_leaves_the_bundle_alone(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """And what is there already is not overwritten, nor is anything half-made left."""
    written = (folder / MANIFEST).read_bytes()
    (folder / "README.md").write_text("read me")
    (folder / ".hidden").write_text("not the model's")
    out = folder.parent / "models" / "calibrated"
    arguments = ("calibrate", "--model", folder, "--labels", labels, "--out", out)
    assert rerank(*arguments) == 0
    assert open_bundle(out).manifest.calibration is not None
    assert (folder / MANIFEST).read_bytes() == written
    assert (out / "README.md").read_text() == "read me"
    assert sorted(path.name for path in out.parent.iterdir()) == ["calibrated", "calibrated-reliability.png"]
    assert not (out / ".hidden").exists()
    assert rerank(*arguments) == 1


def test_a_dry_run_keeps_nothing(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But it shows everything."""
    written = (folder / MANIFEST).read_bytes()
    arguments = ("--labels", labels, "--dry-run", "--picture", "x/a.png", "--graded")
    assert rerank("calibrate", "--model", folder, *arguments) == 0
    assert (folder / MANIFEST).read_bytes() == written
    assert Path("x/a.png").exists()
    assert "not kept: platt" in capsys.readouterr().out


def test_a_plain_folder_becomes_a_bundle(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """With a manifest of all that is in it."""
    (folder / MANIFEST).unlink()
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 0
    assert open_bundle(folder).manifest.calibration is not None


def test_without_the_extra_a_line_says_how_to_get_it(
    rerank: Callable[..., int],
    folder: Path,
    labels: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is scored."""
    monkeypatch.setattr("rerank_service.tools.calibration.calibrate.find_spec", lambda name: None)
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 1
    shown = capsys.readouterr().err
    assert install_command("calibrate") in shown
    assert "[calibrate]'" in shown


def test_a_query_that_is_too_long_is_named(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its line."""
    with labels.open("a") as file:
        file.write(json.dumps({"query": "1 " * 40, "document": "1", "label": 1}))
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 1
    assert f"rerank: {labels}:101: query has 40 tokens" in capsys.readouterr().err
