"""Flow of `rerank calibrate`: labels file, bundle with a calibration, and reliability diagram."""

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rerank_service import __main__ as entry
from rerank_service.installation import install_command
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.variants.derive import identity
from rerank_service.ranking.calibration_curve import Platt, sigmoid


@pytest.fixture
def folder(small_model: Bundle, tmp_path: Path) -> Path:
    """Copy the bundle of the small model."""
    return Path(shutil.copytree(small_model.folder, tmp_path / "small"))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Write 100 queries. A document is a number; its probability of being relevant grows with it."""
    rng = np.random.default_rng(2)
    path = tmp_path / "labels.jsonl"
    with path.open("w") as file:
        for query in range(100):
            numbers = rng.choice(100, 8, replace=False)
            relevant = (rng.random(8) < sigmoid(np.asarray(0.1 * numbers - 5, np.float64))).astype(int).tolist()
            line = {"query": str(query), "documents": [str(number) for number in numbers], "labels": relevant}
            file.write(json.dumps(line) + "\n")
    return path


@pytest.fixture
def rerank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run the command in this process, in a temporary folder."""
    monkeypatch.setenv("RERANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: entry._main([str(argument) for argument in arguments])


def test_wrong_setting_is_reported_in_one_line(
    rerank: Callable[..., int],
    folder: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message has the variable, its value and the allowed values."""
    monkeypatch.setenv("RERANK_LANES", "many")
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == "rerank: --lanes or RERANK_LANES is 'many': give a whole number from 1 to 1024"


def test_picture_is_checked_before_the_work(
    rerank: Callable[..., int], folder: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle stays as it was."""
    before = (folder / "manifest.json").read_bytes()
    (tmp_path / "picture.png").mkdir()
    assert rerank("calibrate", "--model", folder, "--labels", labels, "--picture", tmp_path / "picture.png") == 2
    assert "cannot write" in capsys.readouterr().err
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("small", ("--picture", "small/picture.png")),
        ("small", ("--json", "small/sub/../figures.json")),
        ("small", ("--dry-run", "--picture", "link/new/picture.png")),
        ("small", ("--out", "out", "--picture", "out/picture.png")),
        ("small", ("--out", "out", "--json", "small/.hidden.json")),
        ("small", ("--out", "small/out")),
        ("hub", ("--picture", "hub/picture.png")),
        ("hub/model.onnx", ("--json", "hub/figures.json")),
    ],
)
def test_nothing_is_written_into_a_model_folder(
    rerank: Callable[..., int],
    folder: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    arguments: tuple[str, ...],
) -> None:
    """A server would reject the bundle. The error comes before the work, and the folders stay as they were."""
    shutil.copytree(folder, "hub")
    Path("hub", MANIFEST).unlink()
    Path("link").symlink_to("small")
    before = sorted(Path().rglob("*"))
    assert rerank("calibrate", "--model", model, "--labels", labels, *arguments) == 2
    shown = capsys.readouterr().err
    assert "is inside the model folder " in shown
    assert "scoring" not in shown
    assert sorted(Path().rglob("*")) == before
    assert open_bundle(folder).manifest.calibration is None


@pytest.mark.parametrize("out", ["file/out", "/proc/out", "/proc/new/out"])
def test_output_folder_is_checked_before_the_work(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    """A folder below a file, and one of a file system that takes no files."""
    Path("file").write_text("")
    arguments = ("--labels", labels, "--out", out, "--picture", "a.png")
    assert rerank("calibrate", "--model", folder, *arguments) == 1
    shown = capsys.readouterr().err
    assert "rerank: cannot write into " in shown
    assert "scoring" not in shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_full_disk_loses_only_the_files_on_it(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other results are saved, and all files that are not written are named."""
    arguments = ("calibrate", "--model", folder, "--labels", labels)
    assert rerank(*arguments, "--json", "/dev/full", "--picture", "a.png") == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1] == "rerank: /dev/full: No space left on device"
    assert f"saved in {folder}: platt" in shown.out
    assert "picture: a.png" in shown.out
    assert open_bundle(folder).manifest.calibration is not None
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert rerank(*arguments, "--json", "/dev/full", "--picture", "/dev/full") == 1
    message = "rerank: /dev/full: No space left on device; /dev/full: No space left on device"
    assert capsys.readouterr().err.splitlines()[-1] == message


def test_bundle_that_cannot_be_saved_loses_no_figures(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files and curve are there, so the work was not in vain. The folder of --out is made during the work."""
    os.mkfifo("pipe.jsonl")
    content = labels.read_bytes()

    def make_folder_then_write() -> None:
        with Path("pipe.jsonl").open("wb") as pipe:  # opens when the command reads its labels, after its checks
            Path("out", "sub").mkdir(parents=True)
            pipe.write(content)

    writer = threading.Thread(target=make_folder_then_write, daemon=True)
    writer.start()
    arguments = ("--labels", "pipe.jsonl", "--out", "out", "--json", "figures.json", "--picture", "a.png")
    assert rerank("calibrate", "--model", folder, *arguments) == 1
    writer.join()
    shown = capsys.readouterr()
    assert "--out out exists already" in shown.err
    assert "not saved: platt" in shown.out
    assert json.loads(Path("figures.json").read_text())["calibration"]
    assert Path("a.png").exists()


def test_picture_of_a_graph_is_beside_its_folder(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """A picture beside the graph would be inside the new bundle."""
    (folder / MANIFEST).unlink()
    assert rerank("calibrate", "--model", folder / "model.onnx", "--labels", labels) == 0
    assert open_bundle(folder).manifest.calibration is not None
    assert (folder.parent / "small-reliability.png").exists()


def test_two_results_need_two_files(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The picture would replace the figures."""
    arguments = ("--labels", labels, "--picture", "a.png", "--json", "a.png")
    assert rerank("calibrate", "--model", folder, *arguments) == 2
    assert "a.png is given for several results" in capsys.readouterr().err


def test_calibration_is_written_to_the_bundle(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle opens with a new digest and the same graph. The diagram is beside it, and the errors are printed."""
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
    for words in ("Brier score", "expected calibration error", "platt, held out", "saved in"):
        assert words in shown.out
    assert shown.err.count("scoring labels") == 10


def test_labels_may_come_from_a_pipe(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """It is read once, and the manifest has the sha256 of what was read."""
    os.mkfifo("pipe.jsonl")
    writer = threading.Thread(target=lambda: Path("pipe.jsonl").write_bytes(labels.read_bytes()), daemon=True)
    writer.start()
    assert rerank("calibrate", "--model", folder, "--labels", "pipe.jsonl") == 0
    writer.join()
    evidence = open_bundle(folder).manifest.recipe["calibration"]
    assert evidence["labels_sha256"] == hashlib.sha256(labels.read_bytes()).hexdigest()


def test_copy_leaves_the_bundle_unchanged(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """An existing folder is not overwritten, and no temporary files remain."""
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


def test_dry_run_does_not_change_the_bundle(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and diagram are still written."""
    written = (folder / MANIFEST).read_bytes()
    arguments = ("--labels", labels, "--dry-run", "--picture", "x/a.png", "--graded")
    assert rerank("calibrate", "--model", folder, *arguments) == 0
    assert (folder / MANIFEST).read_bytes() == written
    assert Path("x/a.png").exists()
    assert "not saved: platt" in capsys.readouterr().out


def test_folder_without_manifest_becomes_a_bundle(rerank: Callable[..., int], folder: Path, labels: Path) -> None:
    """The calibration is in its new manifest."""
    (folder / MANIFEST).unlink()
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 0
    assert open_bundle(folder).manifest.calibration is not None


def test_missing_extra_is_reported_with_its_install_command(
    rerank: Callable[..., int],
    folder: Path,
    labels: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error comes before any scoring."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 1
    shown = capsys.readouterr().err
    assert (
        f"rerank: scikit-learn is not installed. Install the extra calibrate: {install_command('calibrate')}" in shown
    )
    assert "[calibrate]'" in shown


def test_query_that_is_too_long_is_named_with_its_line(
    rerank: Callable[..., int], folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A calibration needs all labels, so it stops."""
    with labels.open("a") as file:
        file.write(json.dumps({"query": "1 " * 60_000, "document": "1", "label": 1}))
    assert rerank("calibrate", "--model", folder, "--labels", labels) == 1
    assert f"rerank: {labels}:101: query has 120,000 characters" in capsys.readouterr().err


def test_missing_model_is_a_wrong_argument(
    rerank: Callable[..., int], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is that of other commands. No variable sets this option."""
    absent = tmp_path / "absent"
    assert rerank("calibrate", "--model", absent, "--labels", labels) == 2
    assert capsys.readouterr().err.startswith(f"rerank: --model is {str(absent)!r}: {absent} is not a folder: ")
