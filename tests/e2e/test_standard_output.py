"""Standard output has only the results of a command. Log lines and progress go to standard error."""

import json
from pathlib import Path

import pytest

from rerank_service.models.bundle import open_bundle
from support.commands import rerank, rerank_without_reader
from support.small import write_small_model

_COLLECTION = {"qid": "1", "query": "0", "documents": [{"id": "a", "text": "5", "grade": 1}, {"id": "b", "text": "7"}]}


@pytest.mark.parametrize(
    "arguments",
    [("eval", "one.jsonl"), ("tune", "--provider", "cpu", "--precision", "fp32")],
    ids=lambda arguments: arguments[0],
)
def test_log_lines_go_to_standard_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Also those of the level debug, which structlog alone would print on standard output."""
    (tmp_path / "one.jsonl").write_text(json.dumps(_COLLECTION))
    folder = str(write_small_model(tmp_path / "model").folder)
    variables = {"RERANK_CACHE": str(tmp_path / "cache"), "RERANK_LOG_LEVEL": "debug", "RERANK_LANES": "1"}
    done = rerank(*arguments, "--model", folder, cwd=tmp_path, **variables)
    assert done.returncode == 0
    assert "loading" not in done.stdout
    assert "debug" not in done.stdout
    assert done.stdout.startswith(("collection", "engines"))
    if arguments[0] == "eval":
        assert '"event": "loading"' in done.stderr
        assert done.stderr.splitlines()[-1] == "one: 2 of 2"


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (("eval", "one.jsonl", "--json", "a.json", "--run", "a.trec", "--png", "a.png"), ("a.json", "a.trec", "a.png")),
        (("calibrate", "--labels", "labels.jsonl", "--json", "a.json", "--picture", "a.png"), ("a.json", "a.png")),
    ],
    ids=lambda value: value[0],
)
def test_files_are_written_if_nobody_reads_the_output(
    arguments: tuple[str, ...], files: tuple[str, ...], tmp_path: Path
) -> None:
    """The reader may end first, such as `less`. The results of hours of scoring are not lost."""
    (tmp_path / "one.jsonl").write_text(json.dumps(_COLLECTION))
    labels = [
        {"query": str(number % 11), "document": str(number), "label": int(number % 7 > 2)} for number in range(99)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    folder = write_small_model(tmp_path / "model").folder
    done = rerank_without_reader(*arguments, "--model", str(folder), cwd=tmp_path)
    assert done.returncode == 1
    assert "rerank: " not in done.stderr
    assert all((tmp_path / name).stat().st_size for name in files)
    is_calibrated = open_bundle(folder).manifest.calibration is not None
    assert is_calibrated == (arguments[0] == "calibrate")


def test_a_file_that_cannot_be_written_is_named_if_nobody_reads_the_output(tmp_path: Path) -> None:
    """Otherwise, nobody would learn that the results are lost."""
    (tmp_path / "one.jsonl").write_text(json.dumps(_COLLECTION))
    folder = write_small_model(tmp_path / "model").folder
    arguments = ("eval", "one.jsonl", "--json", "/dev/full", "--model", str(folder))
    done = rerank_without_reader(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "rerank: /dev/full: No space left on device"
