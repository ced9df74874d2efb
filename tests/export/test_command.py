"""The `rerank export` command, run as a process."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_service.models.bundle import open_bundle
from support.commands import rerank


def test_help_names_an_example_the_default_folder_and_the_requirements(tmp_path: Path) -> None:
    """`--help` works without torch."""
    done = rerank("export", "--help", cwd=tmp_path)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "cross-encoder/ms-marco-MiniLM-L6-v2" in text
    assert "out/NAME" in text
    assert "the extra `export` of rerank-service" in text


def test_missing_extra_is_named(tmp_path: Path) -> None:
    """The server's environment has the command, too, but not the packages."""
    (tmp_path / "transformers.py").write_text("raise ModuleNotFoundError('no', name='transformers')")
    (tmp_path / "config.json").touch()
    done = rerank("export", ".", "--out", "out", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "rerank export: transformers is not installed. Exporting needs the extra `export` of rerank-service, "
        "in an environment of its own: `make export MODEL=… OUT=…` makes one."
    )


def test_export_of_a_folder_prints_plain_lines(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """The lines go to stderr, without colour and without output of the libraries."""
    source = sources("bert")
    done = rerank("export", f"{source}/", "--out", "made/[b]small", "--name", "my-model", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == ""
    fetching, exporting, comparing, *progress, found, result, hint = done.stderr.splitlines()
    assert fetching == f"fetching {source}/"
    assert exporting == "exporting the graph (several minutes for a large model)"
    assert comparing == "comparing with transformers"
    assert [line.split(":")[0] for line in progress if " 40 of 40" in line] == [
        "scoring with torch",
        "scoring with model.onnx",
    ]
    assert re.fullmatch(
        r"model\.onnx: passed, max \|Δlogit\| \S+, relevance loss 0\.0000 \(worst query 0\.0000\), tau-b \S+", found
    )
    assert re.fullmatch(r"done: made/\[b\]small, \d\.\d MB; passed", result)
    assert hint.startswith("serve it with: ")
    assert hint.endswith("rerank serve --model 'made/[b]small'")
    assert open_bundle(tmp_path / "made/[b]small").manifest.name == "my-model"
    assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_precisions_and_parity_set_are_options(sources: Callable[[str], Path], tmp_path: Path) -> None:
    """Export two precisions, compared on the first query of the user's own parity set."""
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
    assert [entry["file"] for entry in report["variants"]] == ["model.onnx", "model.int8.onnx"]


def test_value_that_the_parser_refuses_is_named(tmp_path: Path) -> None:
    """The last line names the option and its bound."""
    done = rerank("export", "org/model", "--parity-queries", "0", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "rerank export: argument --parity-queries: '0' must be a whole number of at least 1 (see rerank export --help)",
    )


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--precisions", "int4", "--precisions 'int4': unknown int4; choose from fp32, fp16, int8"),
        ("--parity", "no.jsonl", "--parity no.jsonl cannot be read: No such file or directory"),
    ],
)
def test_invalid_option_is_refused_before_the_download(
    refuse: Callable[..., str], option: str, value: str, reason: str
) -> None:
    """No hub is asked for the model."""
    assert refuse("org/model", "out", option, value) == reason
