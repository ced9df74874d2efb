"""`--help` of all commands. Covers cli/help_format.py, and the help texts in cli/commands."""

import argparse
import re
import shlex
from typing import Any

import pytest

from rerank_service.__main__ import build_parser, commands
from rerank_service.cli.commands import Command
from rerank_service.cli.parser import Parser

_COMMANDS = commands()


def _parser(**options: Any) -> Parser:
    parser = Parser(prog="rerank do", **options)
    parser.add_argument("--count", required=True, metavar="N", help="number of items [red] in 50%% of the cases")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser


@pytest.mark.parametrize("command", _COMMANDS.values(), ids=_COMMANDS)
def test_each_command_has_examples_that_parse(command: Command) -> None:
    """At least two; variables before the command are allowed."""
    assert len(command.examples) >= 2
    parser = build_parser(_COMMANDS)
    for _, line in command.examples:
        words = shlex.split(line)
        start = next(index for index, word in enumerate(words) if word.endswith("rerank"))
        assert parser.parse_args(words[start + 1 :]).run is command.run


@pytest.mark.parametrize("name", _COMMANDS)
def test_each_option_has_a_description(name: str) -> None:
    """No option is listed without text."""
    parser = argparse.ArgumentParser()
    _COMMANDS[name].configure(parser)
    assert all(action.help for action in parser._actions)


def test_usage_shows_required_options_and_positional_arguments() -> None:
    """Other options are listed below, and not in the usage."""
    assert _parser().format_usage() == "Usage: rerank do --count N [OPTION]... [NAME ...]\n"


def test_brackets_are_not_markup() -> None:
    """rich would read [red] as a style."""
    assert "number of items [red] in 50% of the cases" in _parser().format_help()


def test_paragraphs_with_line_breaks_are_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that examples can be copied; other paragraphs are wrapped at the width of the terminal."""
    monkeypatch.setenv("COLUMNS", "40")
    command = f"  rerank do --count 5 {'name ' * 10}".rstrip()
    shown = _parser(epilog=f"Examples:\n{command}\n\n{'word ' * 20}").format_help()
    assert command in shown.splitlines()
    assert len(re.findall(r"^word( word)*$", shown, re.MULTILINE)) > 1
