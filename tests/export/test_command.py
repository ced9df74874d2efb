"""`rerank export` as a process of its own."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_service.models.bundle import open_bundle
from support.commands import rerank


def test_help_says_what_it_does_and_where_it_runs(tmp_path: Path) -> None:
    """With an example of a model, the default for OUT, and what has to be installed."""
    done = rerank("export", "--help", cwd=tmp_path)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "cross-encoder/ms-marco-MiniLM-L6-v2" in text
    assert "out/NAME" in text
    assert "the extra `export` of rerank-service" in text


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """In the server's environment, where the command is listed too."""
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError('no', name='transformers')")
    (tmp_path / "config.json").touch()
    done = rerank("export", ".", "--out", "out", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "rerank export: transformers is not installed. Exporting needs the extra `export` of rerank-service, "
        "in an environment of its own: `make export MODEL=… OUT=…` makes one."
    )


def test_a_folder_is_exported_in_plain_lines(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """Step by step on stderr, without colour, and without a word of the libraries."""
    source = sources("bert")
    done = rerank("export", f"{source}/", "--out", "made/[b]small", "--name", "my-model", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == ""
    fetching, exporting, comparing, *progress, found, result, hint = done.stderr.splitlines()
    assert fetching == f"fetching {source}/"
    assert exporting == "exporting the graph (of a large model: for minutes)"
    assert comparing == "comparing with transformers"
    assert [line.split(":")[0] for line in progress if " 40 of 40" in line] == ["by torch", "by model.onnx"]
    assert re.fullmatch(r"model\.onnx: passed, max \|Δlogit\| \S+, tau-b \S+, top-10 overlap \S+", found)
    assert re.fullmatch(r"done: made/\[b\]small, \d\.\d MB; passed", result)
    assert hint.startswith("serve it with: ")
    assert hint.endswith("rerank serve --model made/[b]small")
    assert open_bundle(tmp_path / "made/[b]small").manifest.name == "my-model"
    assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_graphs_and_what_they_are_compared_on_are_options(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """Two precisions, on queries of one's own, of which the first is taken."""
    line = json.dumps({"query": "ok", "documents": ["over the lazy dog", "a launch window to mars", "fiebre"]})
    (tmp_path / "own.jsonl").write_text(f"{line}\n{line}\n")
    options = ["--precisions", "fp32,int8", "--parity", "own.jsonl", "--parity-queries", "1", "--allow-drift"]
    done = rerank("export", str(sources("bert")), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/bert/report.json").read_text())
    assert report["parity_set"] | {"sha256": ""} == {
        "name": "own.jsonl",
        "sha256": "",
        "queries": 1,
        "of_queries": 2,
        "pairs": 3,
    }
    assert [one["file"] for one in report["variants"]] == ["model.onnx", "model.int8.onnx"]


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (["--parity-queries", "0"], 2, "rerank export: error: argument --parity-queries: '0' is no number from 1 on"),
        (["--precisions", "int4"], 1, "rerank export: --precisions: there is no int4; there are fp32, fp16, int8"),
        (["--parity", "no.jsonl"], 1, "rerank export: --parity no.jsonl cannot be read: No such file or directory"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(
    options: list[str], status: int, reason: str, tmp_path: Path
) -> None:
    """Before a model is fetched, in a line."""
    done = rerank("export", "org/model", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (status, reason)
