"""Options between other arguments, for every command that has both. Covers cli/parser.py."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import rerank_service
from rerank_service.__main__ import build_parser, commands, main

_COMMANDS = commands()


def _parsed(*words: str) -> argparse.Namespace:
    return build_parser(_COMMANDS).parse_args(words)


@pytest.mark.parametrize(
    ("first_word", "imported"),
    [("rank", ["rank"]), ("--version", []), ("--help", _COMMANDS), ("rnak", _COMMANDS), ("export", _COMMANDS)],
)
def test_a_command_line_imports_the_command_that_it_names(first_word: str, imported: Iterable[str]) -> None:
    """All of them are needed for the list in --help, for suggestions, and to find a command of another package."""
    assert list(commands(first_word)) == list(imported)


def test_version_needs_no_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the version of the package."""
    monkeypatch.setattr(sys, "argv", ["rerank", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out == f"rerank-service {rerank_service.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("query", "a", "--server", "127.0.0.1:1", "b"),
        ("query", "--server", "127.0.0.1:1", "a", "b"),
        ("--server", "127.0.0.1:1", "query", "a", "b"),
        ("query", "a", "b", "--server", "127.0.0.1:1"),
        ("query", "--server=127.0.0.1:1", "a", "--", "b"),
    ],
    ids=" ".join,
)
def test_options_of_rank_may_stand_anywhere(words: tuple[str, ...]) -> None:
    """Before the query, between documents, and after them."""
    parsed = _parsed("rank", *words)
    assert (parsed.query, parsed.documents, parsed.server) == ("query", ["a", "b"], "127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("eval", "a.jsonl", "--queries", "3", "b.jsonl"),
            {"collections": [Path("a.jsonl"), Path("b.jsonl")], "queries": 3},
        ),
        (("batch", "in.csv", "--sort", "out.csv"), {"source": Path("in.csv"), "target": Path("out.csv")}),
        (("admin", "load", "docs", "--json", "folder"), {"name": "docs", "folder": "folder", "json": True}),
        (("admin", "unload", "--timeout", "5", "docs"), {"name": "docs", "timeout": 5.0}),
        (("export", "--precisions", "fp32", "model"), {"model": "model"}),
        (("completion", "bash"), {"shell": "bash"}),
    ],
    ids=("eval", "batch", "admin load", "admin unload", "export", "completion"),
)
def test_options_of_other_commands_may_stand_anywhere(words: tuple[str, ...], expected: dict[str, object]) -> None:
    """With several positional arguments, and in the actions of `rerank admin`."""
    parsed = vars(_parsed(*words))
    assert {name: parsed[name] for name in expected} == expected


def test_words_after_two_dashes_are_values() -> None:
    """Also if they look like options."""
    parsed = _parsed("rank", "query", "--top-n", "1", "--", "--server", "-x")
    assert (parsed.documents, parsed.server, parsed.top_n) == (["--server", "-x"], None, 1)


def test_all_arguments_may_follow_two_dashes() -> None:
    """A later `--` is a value. Other types than texts are converted."""
    parsed = _parsed("rank", "--server", "127.0.0.1:1", "--", "--query", "--text", "--")
    assert (parsed.query, parsed.documents) == ("--query", ["--text", "--"])
    assert _parsed("eval", "--", "-a.jsonl").collections == [Path("-a.jsonl")]


def test_missing_argument_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Options alone are not enough."""
    with pytest.raises(SystemExit):
        _parsed("rank", "--top-n", "1")
    assert "the following arguments are required: QUERY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "choices"),
    [("completion", "SHELL (bash, zsh, fish) (see"), ("admin", "ACTION (list, load, ")],
)
def test_missing_choice_is_listed(capsys: pytest.CaptureFixture[str], word: str, choices: str) -> None:
    """No need to read the help."""
    with pytest.raises(SystemExit):
        _parsed(word)
    assert f"arguments are required: {choices}" in capsys.readouterr().err


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status of an error, because a script forgot the command."""
    monkeypatch.setattr(sys, "argv", ["rerank"])
    assert main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Commands:" in captured.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("rank", "query", "a", "--top-n", "--", "1"), "rerank rank: argument --top-n: expected a value before --"),
        (("rank", "query", "-x", "a"), "rerank rank: there is no option -x"),
        (("--server", "a:1", "rank", "query"), "rerank: there is no option --server"),
        (("admin", "--server", "a:1", "list"), "rerank admin: there is no option --server"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_misplaced_words_are_named(words: tuple[str, ...], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The option, and not the word that follows it."""
    with pytest.raises(SystemExit, match="2"):
        _parsed(*words)
    assert capsys.readouterr().err.startswith(error)


def test_two_dashes_before_the_command() -> None:
    """They have no effect."""
    assert _parsed("--", "rank", "query", "a").documents == ["a"]
