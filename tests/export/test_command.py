"""`rerank export` as a process of its own."""

import re
from collections.abc import Callable
from pathlib import Path

from rerank_service.bundle import open_bundle
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
    fetching, *steps, result, hint = done.stderr.splitlines()
    assert fetching == f"fetching {source}/"
    assert steps == ["exporting the graph (of a large model: for minutes)", "comparing with transformers"]
    assert re.fullmatch(r"done: made/\[b\]small, \d\.\d MB; logits differ by at most \S+ over 32 pairs", result)
    assert hint == "serve it with: rerank serve --model made/[b]small"
    assert open_bundle(tmp_path / "made/[b]small").manifest.name == "my-model"
    assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []
