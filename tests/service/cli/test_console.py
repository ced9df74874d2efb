"""Tables fit a terminal. In a pipe, and with --wide, each row is one line with all columns."""

import io
import os
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from rerank.v1 import admin_pb2, rerank_pb2
from rerank_service import __main__ as entry
from rerank_service.cli.output.bundles import bundles_table
from rerank_service.cli.output.console import is_wide, output_console, print_table
from rerank_service.cli.output.findings import findings_table
from rerank_service.cli.output.known_models import known_table
from rerank_service.cli.output.tables import model_table
from rerank_service.models.known_models import known_models
from rerank_service.models.known_speed import MeasuredSpeed
from rerank_service.tools.doctor.finding import ok, slow
from support.terminals import TerminalText

_FOLDER = "/srv/models/" + "a-long-folder/" * 8
_SPEED = MeasuredSpeed("starter", "cpu fp32", 100.0, 2e9)
_FINDINGS = [
    ok("packages", "rerank-service 1.0 with 20 packages", details="numpy 2.4.6, " * 20),
    slow("model docs", f"{_FOLDER} is not tuned", "run `rerank tune` with these settings, or start a server"),
]
_BUNDLE = admin_pb2.Bundle(
    name="docs", aliases=["other"], folder=_FOLDER, digest="d1" * 32, provider="CPUExecutionProvider", precision="fp32"
)
_MODEL = rerank_pb2.Model(name="docs", source=_FOLDER, digest="d1" * 32, choice="measured on this machine " * 5)
_TABLES: dict[str, Callable[[bool], Table]] = {
    "known": lambda wide: known_table(known_models().models, _SPEED, wide=wide),
    "doctor": lambda wide: findings_table(_FINDINGS, wide=wide),
    "admin": lambda wide: bundles_table([_BUNDLE], wide=wide),
    "models": lambda wide: model_table(_MODEL, wide=wide),
}


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def _piped(make: Callable[[bool], Table]) -> list[str]:
    console = output_console(file=io.StringIO())
    print_table(console, make(is_wide(console)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_colours_do_not_wrap_the_rows_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many CI systems set FORCE_COLOR."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert is_wide(output_console(file=io.StringIO()))
    assert not is_wide(output_console(file=TerminalText()))


@pytest.mark.parametrize("columns", [80, 100, 140])
@pytest.mark.parametrize("name", _TABLES)
def test_tables_fit_a_terminal(name: str, columns: int) -> None:
    """Terminals of each usual width show them, and nothing is cut."""
    console = Console(file=TerminalText(), width=columns, color_system=None, force_terminal=True)
    with console.capture() as captured:
        print_table(console, _TABLES[name](is_wide(console)))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= columns
    assert "…" not in shown


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("known", (known_models().models[1].name, "22.7M", "English", "apache-2.0", "verified", "first choice")),
        ("doctor", ("slow", "model docs", _FOLDER, "fix: run `rerank tune` with these settings")),
        ("doctor", ("packages", "numpy 2.4.6, " * 19)),
        ("admin", ("docs, other", "CPU fp32", _FOLDER)),
        ("models", ("digest", "d1" * 32)),
    ],
)
def test_a_row_in_a_pipe_is_one_line(name: str, words: tuple[str, ...]) -> None:
    """So `grep` finds a model with all its facts. No frame, and no spaces at the end."""
    lines = _piped(_TABLES[name])
    [row] = [line for line in lines if words[0] in line and words[-1] in line]
    assert all(word in row for word in words)
    assert not set("".join(lines)) & set("│┃━─")
    assert all(line == line.rstrip() for line in lines)


def test_title_and_caption_in_a_pipe_are_one_line() -> None:
    """They are plain text: markup in them has no effect."""

    def table(_wide: bool) -> Table:
        shown = Table(Column("a"), title=Text("[b]long[/b] " * 30), caption=Text("notes " * 30))
        shown.add_row("1")
        return shown

    lines = [line.rstrip() for line in _piped(table)]
    assert lines == [("[b]long[/b] " * 30).rstrip(), "a", "1", ("notes " * 30).rstrip()]


def test_columns_variable_sets_the_width_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """--wide overrides it."""
    monkeypatch.setenv("COLUMNS", "90")
    assert output_console(file=io.StringIO()).width == 90
    assert is_wide(output_console(wide=True, file=io.StringIO()))


@pytest.mark.parametrize("columns", ["1", "20", "59"])
def test_tables_have_all_columns_on_a_narrow_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would leave out the column that it can make narrowest: the name of the model."""
    monkeypatch.setenv("COLUMNS", columns)
    console = output_console(file=io.StringIO())
    assert not is_wide(console)
    with console.capture() as captured:
        print_table(console, _TABLES["known"](False))
    assert "model" in captured.get()
    assert "MiniLM-L6" in captured.get()


@pytest.mark.parametrize("columns", ["0", "00", "²", "-1", "80x", "", " ", "9" * 30])
def test_invalid_columns_variable_is_ignored(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In 0 columns, the output would be empty."""
    monkeypatch.setitem(os.environ, "COLUMNS", columns)
    assert entry._main(["models", "--known", "--no-speed"]) == 0
    assert "cross-encoder/ms-marco-MiniLM-L6-v2" in capsys.readouterr().out


def test_wide_known_models_have_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also on a terminal, and with COLUMNS."""
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    assert entry._main(["models", "--known", "--no-speed", "--wide"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["model", "size", "max", "tokens", "languages", "licence", "tests", "code", "note"]
    names = [model.name for model in known_models().models]
    assert [row.split()[0] for row in rows[: len(names)]] == names
