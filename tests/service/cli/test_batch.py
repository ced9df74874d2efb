"""The command `rerank batch`: its files, options and messages. tests/e2e/test_batch.py kills it."""

import subprocess
import sys
from pathlib import Path

import pytest

from rerank_service.errors import OperatorError
from rerank_service.tools.batch.formats.choice import format_of
from rerank_service.tools.batch.rows import Columns
from support.commands import rerank

_LINES = '{"query": "q", "document": "1"}\n{"query": "", "document": "2"}\n{"query": "q", "document": "3"}\n'


@pytest.fixture
def folder(small_model: object, tmp_path: Path) -> Path:
    """Return a folder with an input whose second line is wrong."""
    (tmp_path / "in.jsonl").write_text(_LINES)
    return tmp_path


@pytest.fixture
def model(small_model: object) -> str:
    """Return the folder of the small model."""
    return str(small_model.folder)  # type: ignore[attr-defined]


def test_rows_are_scored_and_errors_are_listed(folder: Path, model: str) -> None:
    """The summary is on standard output, and the log on standard error."""
    done = rerank("batch", "in.jsonl", "out.jsonl", "--model", model, "--score-type", "raw", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.jsonl").read_text() == (
        '{"query": "q", "document": "1", "score":1.0}\n{"query": "q", "document": "3", "score":3.0}\n'
    )
    assert (folder / "out.jsonl.errors.jsonl").read_text() == '{"line":2,"error":"query must not be empty"}\n'
    first, second = done.stdout.splitlines()
    assert first.startswith("out.jsonl: 2 pairs of 2 rows; this run scored 2 pairs in ")
    assert second == "out.jsonl.errors.jsonl: 1 row without a score, each with its number and the reason"


def test_nothing_is_written_into_a_bundle(folder: Path, model: str) -> None:
    """A server would reject it. OUT.parts would be there from the first part on."""
    done = rerank("batch", "in.jsonl", f"{model}/out.jsonl", "--model", model, cwd=folder)
    assert done.returncode == 2
    assert f"/out.jsonl is inside the model folder {Path(model).resolve()}" in done.stderr
    assert not list(Path(model).glob("out.jsonl*"))


def test_strict_stops_at_the_first_error(folder: Path, model: str) -> None:
    """The message names the file and the line. The job can continue without --strict."""
    done = rerank("batch", "in.jsonl", "out.jsonl", "--model", model, "--strict", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "rerank: in.jsonl:2: query must not be empty"
    assert not (folder / "out.jsonl").exists()
    assert rerank("batch", "in.jsonl", "out.jsonl", "--model", model, cwd=folder).returncode == 0


def test_strict_holds_for_the_rows_of_finished_parts(folder: Path, model: str) -> None:
    """They may be those of a run without --strict that was killed. The message is the same."""
    command = ("batch", "in.jsonl", "out.jsonl", "--model", model, "--part-pairs", "1")
    parts = folder / "out.jsonl.parts"
    assert rerank(*command, "--strict", cwd=folder).returncode == 1  # makes the folder
    (parts / "joined.new").mkdir()  # so that a run without --strict fails after its last part
    assert rerank(*command, cwd=folder).returncode == 1
    (parts / "joined.new").rmdir()
    assert len(list(parts.glob("*.done"))) == 3
    for _ in range(2):
        done = rerank(*command, "--strict", cwd=folder)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "rerank: in.jsonl:2: query must not be empty")
    assert rerank(*command, cwd=folder).returncode == 0


def test_job_continues_only_with_the_same_reading(folder: Path, model: str) -> None:
    """The settings for the length of texts change scores, also as variables."""
    command = ("batch", "in.jsonl", "out.jsonl", "--model", model, "--part-pairs", "1")
    assert rerank(*command, "--strict", cwd=folder).returncode == 1
    done = rerank(*command, cwd=folder, RERANK_WINDOW_TOKENS="16", RERANK_DOCUMENT_TOKENS="99")
    assert done.returncode == 2
    assert "tokens read of a document was " in done.stderr
    assert "tokens of a window was the default of the model, now 16" in done.stderr


def test_a_finished_job_runs_again_only_with_restart(folder: Path, model: str) -> None:
    """So that a typo does not replace a file."""
    command = ("batch", "in.jsonl", "out.jsonl", "--model", model)
    (folder / "out.jsonl").write_text("mine")
    done = rerank(*command, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == ("rerank: out.jsonl exists: give another name, or --restart to replace it")
    assert (folder / "out.jsonl").read_text() == "mine"
    assert rerank(*command, "--restart", cwd=folder).returncode == 0
    assert "score" in (folder / "out.jsonl").read_text()


@pytest.mark.parametrize(
    ("source", "target", "sort", "words"),
    [
        ("in.txt", "out.txt", False, "IN in.txt has an unknown format: give a name that ends in .jsonl, .csv"),
        ("in.jsonl", "out", False, "OUT out has an unknown format"),
        ("in.parquet.gz", "out.parquet", False, "IN in.parquet.gz has an unknown format"),
        ("in.jsonl", "out.csv", False, "have different formats: give OUT a name that ends in .jsonl"),
        ("in.csv", "out.csv.gz", True, "--sort needs a list of documents per row, which CSV does not have"),
    ],
)
def test_wrong_names_are_rejected(source: str, target: str, sort: bool, words: str) -> None:
    """Before anything is read."""
    with pytest.raises(OperatorError) as raised:
        format_of(Path(source), Path(target), Columns(), sort=sort)
    assert words in str(raised.value)


def test_in_and_out_differ(folder: Path) -> None:
    """Also if they are two names of one file."""
    done = rerank("batch", "in.jsonl", "./in.jsonl", "--restart", cwd=folder)
    assert (done.returncode, done.stderr) == (2, "rerank: OUT in.jsonl is IN: give another file\n")


def test_a_missing_input_is_named(folder: Path) -> None:
    """Before the model is loaded."""
    done = rerank("batch", "no.jsonl", "out.jsonl", cwd=folder)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "rerank: no.jsonl: No such file or directory")


@pytest.mark.parametrize(
    ("package", "extra", "source", "options"),
    [
        ("ray", "ray", "in.jsonl", ["--ray", "local"]),
        ("pyarrow", "parquet", "in.parquet", []),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    folder: Path, package: str, extra: str, source: str, options: list[str]
) -> None:
    """The message has the command that installs it."""
    code = f"import sys; sys.modules[{package!r}] = None; from rerank_service.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "batch", source, f"out{Path(source).suffix}", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"rerank: {package} is not installed. Install the extra {extra}: " in done.stderr
