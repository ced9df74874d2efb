"""`rerank export` as a process of its own, with a folder and with a hub that answers here."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rerank_service.bundle import open_bundle

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "org/small"


def rerank(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rerank_service", *argv],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


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
    assert hint == "serve it with: rerank serve --model made/[b]small"
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


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for."""

    folder: Path
    fetched: list[str]

    def do_HEAD(self) -> None:
        """What a file is."""
        self.do_GET()

    def do_GET(self) -> None:
        """A repository's list of files, a file, or why not."""
        if self.path.startswith("/api/models/org/gated/"):
            self._answer(403, code="GatedRepo")
        elif self.path.startswith("/api/models/") and not self.path.startswith(f"/api/models/{REPOSITORY}/"):
            self._answer(401, code="RepoNotFound")
        elif self.path.endswith("/revision/no-such"):
            self._answer(404, code="RevisionNotFound")
        elif self.path.startswith("/api/"):
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            siblings = [{"rfilename": path.relative_to(self.folder).as_posix()} for path in files]
            self._answer(200, json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}))
        else:
            name = self.path.removeprefix(f"/{REPOSITORY}/resolve/{COMMIT}/")
            if self.command == "GET":
                self.fetched.append(name)
            self._answer(200, (self.folder / name).read_bytes())

    def _answer(self, status: int, body: str | bytes = b"", *, code: str | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the answers are what is looked at."""


@contextmanager
def _hub(folder: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """A hub with one model; gives the variables that lead there, and the names of the files fetched so far."""
    fetched: list[str] = []
    handler = type("Hub", (_Hub,), {"folder": folder, "fetched": fetched})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "HF_TOKEN": ""}, fetched
        finally:
            server.shutdown()


@pytest.fixture
def published(sources: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model as hubs have them: with weights in two forms, and other people's exports."""
    folder = tmp_path / "published"
    folder.mkdir()
    for path in sources("bert").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name in ("pytorch_model.bin", "openvino/openvino_model.bin", "onnx/config.json", "training.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not wanted")
    return folder


def test_a_model_is_fetched_from_the_hub(published: Path, tmp_path: Path) -> None:
    """Only what is needed is fetched; OUT is out/NAME, and the manifest names repository and commit."""
    with _hub(published) as (environment, fetched):
        done = rerank("export", REPOSITORY, cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), **environment)
    assert done.returncode == 0
    assert done.stderr.splitlines()[1] == "exporting the graph (of a large model: for minutes)", "no progress bars"
    assert done.stderr.splitlines()[-1] == "serve it with: rerank serve --model out/small"
    manifest = open_bundle(tmp_path / "out/small").manifest
    assert (manifest.name, manifest.source, manifest.revision) == ("small", REPOSITORY, COMMIT)
    assert {"model.safetensors", "tokenizer.json", "vocab.txt"} <= set(fetched)
    assert not [name for name in fetched if "/" in name or name.endswith((".bin", ".py"))]


def test_a_model_with_pickled_weights_alone_is_fetched_too(published: Path, tmp_path: Path) -> None:
    """Models from before safetensors have a pytorch_model.bin."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(published / "model.safetensors"), published / "pytorch_model.bin")
    (published / "model.safetensors").unlink()
    with _hub(published) as (environment, fetched):
        done = rerank("export", REPOSITORY, cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), **environment)
    assert done.returncode == 0, done.stderr
    assert [name for name in fetched if name.endswith(".bin")] == ["pytorch_model.bin"]


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("org/none", [], "org/none is neither a folder here nor on the hub, unless it is private: check the name"),
        ("org/gated", [], "org/gated is gated: accept its terms on the hub, then set HF_TOKEN"),
        (REPOSITORY, ["--revision", "no-such"], f"{REPOSITORY} has no revision 'no-such'"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    model: str, options: list[str], reason: str, published: Path, tmp_path: Path
) -> None:
    """A name that it does not know, terms not accepted, a revision that is not there."""
    with _hub(published) as (environment, _):
        done = rerank("export", model, *options, cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), **environment)
    assert done.returncode == 1
    fetching, line = done.stderr.splitlines()
    assert fetching == f"fetching {model}"
    assert line.startswith(f"rerank export: {reason}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}], ids=str
)
def test_without_a_network_a_folder_is_asked_for(environment: dict[str, str], tmp_path: Path) -> None:
    """Offline by choice or by chance: one line, no trace."""
    done = rerank(
        "export", "org/model", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), NO_PROXY="127.0.0.1", **environment
    )
    assert done.returncode == 1
    fetching, line = done.stderr.splitlines()
    assert fetching == "fetching org/model"
    assert line == (
        "rerank export: org/model is no folder here, and the hub does not answer: give a folder, or look to the "
        "network (HTTPS_PROXY, HF_ENDPOINT, HF_HUB_OFFLINE)"
    )
    assert not (tmp_path / "out").exists()
