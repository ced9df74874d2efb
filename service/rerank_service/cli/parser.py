"""The parser of the command line. Options and other arguments may be mixed, and an unknown option or command suggests
the nearest known one."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rerank_service.cli.help_format import HelpFormatter
from rerank_service.suggestion import suggestion

_USAGE_ERROR = 2
_REQUIRED = "the following arguments are required: "
"""Beginning of argparse's message."""
_MARK = "\0"
"""Before a word that is a value, whatever it looks like. No word of a command line can contain it."""


class Parser(argparse.ArgumentParser):
    """Accept options between positional arguments, and report unknown options and commands before any other error."""

    def __init__(self, *, renamed: Mapping[str, str] | None = None, **options: Any) -> None:
        """Create a parser. `renamed` maps options of earlier versions to the options that replace them."""
        super().__init__(formatter_class=HelpFormatter, **options)
        self._renamed = renamed or {}
        self._is_mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments. An unknown option or command ends the process with status 2."""
        if self._is_mixing:  # called by parse_known_intermixed_args: a pass for options, then one for the others
            return super().parse_known_args(args, namespace)
        words = list(args or ())
        if self._has_commands() and words[:1] == ["--"]:
            del words[0]
        self._check_options(words)
        self._check_command(words)
        known, unknown = self._parsed(words, namespace)
        if option := next((word for word in unknown if word.startswith("-") and len(word) > 1), None):
            self.error(f"there is no option {option}")
        if unknown:
            self.error(f"unexpected argument: {' '.join(word.removeprefix(_MARK) for word in unknown)}")
        return known, unknown

    def _parsed(self, words: Sequence[str], namespace: Any) -> Any:
        """Parse the words. argparse alone refuses an argument after an option: `rank QUERY A --server ADDRESS B`."""
        if self._has_commands():
            return super().parse_known_args(words, namespace)
        self._is_mixing = True
        try:
            return self.parse_known_intermixed_args(_marked(words), namespace)
        finally:
            self._is_mixing = False

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if action.option_strings and arg_string.startswith(_MARK):
            raise argparse.ArgumentError(action, "expected a value before --")
        return super()._get_value(action, arg_string.removeprefix(_MARK))

    def _has_commands(self) -> bool:
        return any(action.nargs == argparse.PARSER for action in self._actions)

    def error(self, message: str) -> NoReturn:
        """Print the message as one line, and end the process with status 2. A missing argument gets its choices."""
        choices = next((action.choices for action in self._actions if not action.option_strings and action.choices), ())
        if message.startswith(_REQUIRED) and choices:
            message += f" ({', '.join(map(str, choices))})"
        self.exit(_USAGE_ERROR, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _check_command(self, words: Sequence[str]) -> None:
        commands = next(
            (list(action.choices or ()) for action in self._actions if action.nargs == argparse.PARSER), None
        )
        name = next((word for word in words if not word.startswith("-")), None)
        if commands is not None and name is not None and name not in commands:
            self.error(f"there is no command {name}{suggestion(name, commands)}")

    def _check_options(self, words: Sequence[str]) -> None:
        if self._has_commands():
            words = words[:1]  # the other words belong to the command
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            # argparse treats a word with a space as a value
            if name.startswith("--") and " " not in word and not self._knows(name):
                renamed = self._renamed.get(name)
                hint = f": use {renamed}" if renamed else suggestion(name, self._option_string_actions)
                self.error(f"there is no option {name}{hint}")

    def _knows(self, name: str) -> bool:
        """Return True for an option and for the beginning of one, which argparse accepts."""
        return any(option.startswith(name) for option in self._option_string_actions)


def _marked(words: Sequence[str]) -> list[str]:
    """Return the words without `--`, and mark those after it. argparse loses the `--` between its two passes."""
    if "--" not in words:
        return list(words)
    end = list(words).index("--")
    return [*words[:end], *(_MARK + word for word in words[end + 1 :])]
