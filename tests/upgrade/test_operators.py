"""Variables, flags and command lines of an earlier version have the same meaning in this one."""

import argparse
import os
from typing import Any

import pytest

from rerank_service.__main__ import build_parser, commands
from rerank_service.cli.parser import Parser
from rerank_service.cli.settings_arguments import given_settings
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.kinds import CPU_FP32
from rerank_service.settings import Settings, read_settings
from upgrade.recorded import SURFACE
from upgrade.recorder.surface import plain

_SETTINGS: dict[str, dict[str, Any]] = SURFACE["settings"]
_SUCCESSORS = {("rank", "--model"): "--served-model"}
"""Options that were renamed, by command. The changelog names each one."""


def _same(name: str, recorded: Any) -> Any:
    """Return a recorded value as this version reads it: a host is now a list of hosts."""
    return [recorded] if name == "host" else recorded


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables RERANK_… of the machine."""
    for name in [name for name in os.environ if name.startswith("RERANK_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", _SETTINGS)
def test_variable_is_read_as_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name, the notation and the meaning of its value."""
    monkeypatch.setenv(f"RERANK_{name.upper()}", _SETTINGS[name]["text"])
    assert plain(getattr(read_settings(), name)) == _same(name, _SETTINGS[name]["value"])


@pytest.fixture(scope="module")
def parser() -> Parser:
    """Return the parser of the command line."""
    return build_parser(commands())


@pytest.mark.parametrize("name", _SETTINGS)
def test_flag_is_read_as_before(name: str, parser: Parser) -> None:
    """With the value as a word of its own, and after `=`."""
    flag, text = f"--{name.replace('_', '-')}", _SETTINGS[name]["text"]
    is_switch = Settings.model_fields[name].annotation is bool
    for words in [[flag]] if is_switch else [[flag, text], [f"{flag}={text}"]]:
        arguments = parser.parse_args(["serve", *words])
        assert plain(getattr(given_settings(arguments), name)) == _same(name, _SETTINGS[name]["value"])


@pytest.mark.parametrize("name", _SETTINGS)
def test_default_is_the_same(name: str) -> None:
    """Three defaults depend on the engine now, and are those of before on the engine of before."""
    limits = default_limits(CPU_FP32)
    by_engine = {
        "max_batch_tokens": limits.max_tokens,
        "max_batch_pairs": limits.max_pairs,
        "length_multiple": limits.length_multiple,
    }
    default = plain(Settings.model_fields[name].default)
    assert by_engine.get(name, default) == _same(name, _SETTINGS[name]["default"])
    assert (default is None) == (name in by_engine or _SETTINGS[name]["default"] is None)


def _options(parser: argparse.ArgumentParser) -> dict[str, set[str]]:
    """Return the options of each command."""
    subparsers: Any = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    return {name: set(subparser._option_string_actions) for name, subparser in subparsers.items()}


def test_commands_have_the_options_of_before(parser: Parser) -> None:
    """Except the renamed ones."""
    now = _options(parser)
    missing = [
        (command, option) for command, options in SURFACE["options"].items() for option in {*options} - now[command]
    ]
    assert missing == list(_SUCCESSORS)


@pytest.mark.parametrize("words", SURFACE["lines"], ids=" ".join)
def test_command_line_is_accepted(words: list[str], parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    """Or the error names the option that replaces a renamed one."""
    renamed = [new for (command, old), new in _SUCCESSORS.items() if command == words[0] and old in words]
    if not renamed:
        assert parser.parse_args(words).run
        return
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(words)
    assert f"use {renamed[0]}" in capsys.readouterr().err
