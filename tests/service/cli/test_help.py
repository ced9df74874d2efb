"""`--help` of all commands. Covers cli/help_format.py, and the help texts in cli/commands."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank_service.__main__ import build_parser, commands
from rerank_service.cli.parser import Parser

_COMMANDS = commands()


def _parser(**options: Any) -> Parser:
    parser = Parser(prog="rerank do", **options)
    parser.add_argument("--count", required=True, metavar="N", help="number of items [red] in 50%% of the cases")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser


def _walk(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands, and of their actions."""
    yield parser
    for action in parser._actions:
        if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
            for sub in action.choices.values():
                yield from _walk(sub)


_PARSERS = {parser.prog: parser for parser in _walk(build_parser(_COMMANDS))}
"""All parsers by their words, such as `rerank admin load`. `rerank export` is what `make export` calls."""


def _examples(parser: argparse.ArgumentParser) -> list[list[str]]:
    """Return the words after `rerank` of each example: the lines without a comment. They may be part of a pipe."""
    _, _, examples = (parser.epilog or "").partition("Examples:\n")
    lines = [line.strip() for line in examples.partition("\n\n")[0].splitlines()]
    commands_ = [shlex.split(line) for line in lines if not line.startswith("#")]
    starts = [next(index for index, word in enumerate(words) if word.endswith("rerank")) for words in commands_]
    parts = [words[start + 1 :] for start, words in zip(starts, commands_, strict=True)]
    return [words[: words.index("|")] if "|" in words else words for words in parts]


@pytest.mark.parametrize("prog", _PARSERS)
def test_each_help_has_two_examples_that_parse(prog: str) -> None:
    """With the real parser, and to the command whose help shows them. Variables and pipes are allowed."""
    examples = _examples(_PARSERS[prog])
    assert len(examples) >= 2
    for words in examples:
        build_parser(_COMMANDS).parse_args(words)
        assert [*prog.split()[1:]] == words[: len(prog.split()) - 1]


@pytest.mark.parametrize("prog", _PARSERS)
def test_each_option_has_a_description(prog: str) -> None:
    """No option is listed without text. The commands themselves are listed one by one."""
    actions = [action for action in _PARSERS[prog]._actions if action.nargs != argparse.PARSER]
    assert all(action.help for action in actions)


@pytest.mark.parametrize("prog", _PARSERS)
def test_each_value_has_a_name_or_choices(prog: str) -> None:
    """docs/reference/cli.md shows them: a name in capitals, or the choices of a setting in braces."""
    for action in _PARSERS[prog]._actions:
        name = str(action.metavar or "")
        assert action.nargs == 0 or action.choices or name.isupper() or name.startswith("{"), action


def test_walk_finds_the_exporter_and_the_actions() -> None:
    """Entry points of other packages, and parsers below a command."""
    assert {"rerank", "rerank rank", "rerank export", "rerank admin", "rerank admin load"} <= _PARSERS.keys()


def test_page_lists_every_command() -> None:
    """docs/cli.md has one row for each. tests/docs runs its command lines."""
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^\| `rerank ([a-z]+)` \|", page, re.MULTILINE)) == set(_COMMANDS)


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
