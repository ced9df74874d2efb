"""Progress on standard error: plain lines in a pipe, a bar or a spinner on a terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_service.__main__ import commands
from rerank_service.progress import LINES, kept_stages, progress, stages
from support.terminals import TerminalText


def test_pipe_gets_lines_at_even_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty."""
    with progress("pairs [a]", 200) as advance:
        for _ in range(200):
            advance(1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"pairs [a]: {200 // LINES * line} of 200" for line in range(1, LINES + 1)]


@pytest.mark.parametrize(("total", "lines"), [(None, LINES), (5, 0)])
def test_pipe_gets_no_lines_without_total_or_interval(
    total: int | None, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Work of unknown length, and work whose own lines follow."""
    with progress("calls", total, lines=lines) as advance:
        advance(5, detail="5 answered")
    assert capsys.readouterr().err == ""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> TerminalText:
    """Standard error is a terminal."""
    text = TerminalText()
    monkeypatch.setattr("rerank_service.progress.lossy_stderr", lambda _: text)
    monkeypatch.setenv("TERM", "xterm")
    return text


@pytest.mark.parametrize("total", [None, 3])
def test_terminal_gets_a_bar_with_detail(
    total: int | None, terminal: TerminalText, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar disappears at the end; markup in texts has no effect."""
    with progress("calls [a]", total) as advance:
        advance(2, detail="2 [b] answered")
    assert capsys.readouterr().out == ""
    assert "calls [a]" in terminal.getvalue()
    assert "2 [b] answered" in terminal.getvalue()


def test_colours_do_not_make_a_pipe_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many CI systems set FORCE_COLOR. A bar in their logs would be thousands of lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("pairs", 2, lines=1) as advance:
        advance(2)
    with stages() as report:
        report("measuring")
    assert capsys.readouterr().err.splitlines() == ["pairs: 2 of 2", "measuring"]


_WORK = """
import os
from rerank_service.progress import progress, stages
with progress("pairs", 3) as advance:
    for _ in range(3):
        advance(1)
with stages() as report:
    report("measuring")
os.write(1, b"written")
"""


@pytest.mark.parametrize("place", ["full disk", "no reader", "closed terminal"])
def test_work_goes_on_if_its_progress_cannot_be_written(place: str) -> None:
    """Its result would be lost after hours."""
    if place == "full disk":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stderr = os.pipe() if place == "no reader" else os.openpty()
        os.close(reader)
    command = [sys.executable, "-c", _WORK]
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    finally:
        os.close(stderr)
    assert (ended.returncode, ended.stdout) == (0, "written")


def test_stages_are_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage is one line."""
    with stages() as report:
        report("first [a]")
        report("second")
    assert capsys.readouterr().err.splitlines() == ["first [a]", "second"]


def test_stages_are_a_spinner_on_a_terminal(terminal: TerminalText) -> None:
    """The spinner shows the current stage."""
    with stages() as report:
        report("measuring")
    assert "measuring" in terminal.getvalue()


def test_kept_stages_are_lines_also_on_a_terminal(terminal: TerminalText) -> None:
    """Unchanged, and with the seconds since the start if there is a clock."""
    times = iter((100.0, 112.4))
    kept_stages()("fetching [a] :smile:")
    kept_stages(lambda: next(times))("measuring")
    assert terminal.getvalue().splitlines() == ["fetching [a] :smile:", "    12 s  measuring"]


LONG = {
    "rank": "service/rerank_service/tools/ranking_call.py",
    "batch": "service/rerank_service/cli/commands/batch.py",
    "eval": "service/rerank_service/cli/commands/eval.py",
    "calibrate": "service/rerank_service/cli/commands/calibrate.py",
    "tune": "service/rerank_service/cli/commands/tune.py",
    "bench": "service/rerank_service/cli/output/loadtest.py",
    "export": "export/rerank_export/command.py",
    "make bench": "tests/bench/__main__.py",
}
"""Commands whose work is long, and the files that show their progress."""
_ROOT = Path(__file__).parents[2]
_QUICK = {"admin", "completion", "doctor", "models", "serve"}
"""Commands that end at once, and the server, which logs."""
_OWN = re.compile(r"rich\.(progress|status|live)|\btqdm\b|stderr=True|\.status\(\"\"\)")
"""Signs of progress that a file shows by itself."""


@pytest.mark.parametrize("name", LONG)
def test_long_work_shows_its_progress_with_this_module(name: str) -> None:
    """Each command, the exporter and the benchmark."""
    assert "from rerank_service.progress import" in (_ROOT / LONG[name]).read_text()


def test_every_command_is_long_or_quick() -> None:
    """A new command needs a line above."""
    assert commands().keys() == (LONG.keys() - {"make bench"}) | _QUICK


def test_no_file_shows_progress_by_itself() -> None:
    """Only this module makes bars, spinners, and consoles on standard error."""
    folders = ("service/rerank_service", "export/rerank_export", "tests/bench", "docs")
    paths = [path for folder in folders for path in (_ROOT / folder).rglob("*.py")]
    found = {path.relative_to(_ROOT).as_posix() for path in paths if _OWN.search(path.read_text())}
    assert found == {"service/rerank_service/progress.py"}
