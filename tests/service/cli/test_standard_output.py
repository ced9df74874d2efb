"""Standard output: characters that its encoding does not have, and errors of writing."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from rerank_service.cli.standard_output import escape_unencodable, write_then_print
from rerank_service.errors import FileInvalid, OutputNotWritten
from support.commands import rerank
from support.process import command

TEXT = "Zürich 東京 📍 \\ \ud83d"


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-8", "Zürich 東京 📍"),
        ("latin-1", "Zürich \\u6771\\u4eac \\ud83d\\udccd"),
        ("ascii", "Z\\u00fcrich \\u6771"),
    ],
)
def test_characters_that_the_encoding_does_not_have_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, words: str
) -> None:
    """As JSON has them, so lines of JSON stay valid."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    escape_unencodable()
    print(json.dumps(TEXT, ensure_ascii=False), flush=True)
    line = written.getvalue().decode(encoding)
    assert words in line
    assert json.loads(line) == TEXT


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_is_one_line(tmp_path: Path, unbuffered: str) -> None:
    """When the output is written at the end, and when it is written at once."""
    words = [sys.executable, "-m", "rerank_service", "completion", "bash"]
    variables = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=variables, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "rerank: [Errno 28] No space left on device\n")


def test_help_is_shown_in_each_encoding(tmp_path: Path) -> None:
    """Also before the arguments are read."""
    for words in (("--help",), ("serve", "--help")):
        done = rerank(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: rerank" in done.stdout


def test_a_closed_standard_output_ends_no_command(tmp_path: Path) -> None:
    """The shell closes it for `rerank completion bash >&-`: Python has none then."""
    words = shlex.join(command("completion", "bash"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} >&-"], stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_errors_are_never_written_to_standard_output(tmp_path: Path) -> None:
    """Also if the shell has closed standard error, as in `rerank models --json 2>&-`."""
    words = shlex.join(command("rank", "q", "--file", "none.txt"))
    done = subprocess.run(["sh", "-c", f"exec {words} 2>&-"], stdout=subprocess.PIPE, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


def test_an_encoding_without_the_characters_ends_no_command(tmp_path: Path) -> None:
    """The error of the command is printed, and its status kept."""
    done = rerank("rank", "東京", "--file", "none.txt", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, "rerank: none.txt: No such file or directory\n")


def _writes_that_stop(done: list[str], error: Exception) -> Iterator[Callable[[], None]]:
    yield partial(done.append, "file")
    raise error


def test_generator_that_fails_keeps_no_result_from_being_printed() -> None:
    """Its error is raised afterwards, as that of a file is."""
    done: list[str] = []
    with pytest.raises(FileInvalid, match=r"^no more files$"):
        write_then_print(_writes_that_stop(done, FileInvalid("no more files")), partial(done.append, "printed"))
    assert done == ["file", "printed"]


def test_error_of_a_generator_is_reported_beside_that_of_a_file(tmp_path: Path) -> None:
    """Both are operator errors: one message names them."""
    done: list[str] = []

    def writes() -> Iterator[Callable[[], object]]:
        yield partial((tmp_path / "none/figures.json").write_text, "{}")
        raise FileInvalid("no more files")

    with pytest.raises(OutputNotWritten, match=r"none/figures\.json: No such file or directory; no more files$"):
        write_then_print(writes(), partial(done.append, "printed"))
    assert done == ["printed"]
