"""The command line's parser: a wrong option or command is answered with the nearest right one."""

import argparse
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from rich_argparse import RichHelpFormatter

_USAGE_ERROR = 2


class Parser(argparse.ArgumentParser):
    """Refuses unknown options where they stand, before it complains about anything else."""

    def __init__(self, *, renamed: Mapping[str, str] | None = None, **options: Any) -> None:
        """`renamed` are options of earlier versions and what to use instead."""
        super().__init__(formatter_class=RichHelpFormatter, **options)
        self._renamed = renamed or {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and end with an error at anything unknown."""
        words = list(args or ())
        self._check_command(words)
        self._check_options(words)
        known, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(f"unexpected: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line of usage and the message, and end with status 2."""
        usage = " ".join([self.prog, "[OPTION]...", *map(_shown, self._get_positional_actions())])
        self.exit(_USAGE_ERROR, f"usage: {usage}\n{self.prog}: error: {message} (see {self.prog} --help)\n")

    def _check_command(self, words: Sequence[str]) -> None:
        commands = next((list(one.choices or ()) for one in self._actions if one.nargs == argparse.PARSER), None)
        named = next((word for word in words if not word.startswith("-")), None)
        if commands is not None and named is not None and named not in commands:
            self.error(f"there is no command {named}{_nearest(named, commands)}")

    def _check_options(self, words: Sequence[str]) -> None:
        if any(one.nargs == argparse.PARSER for one in self._actions):
            words = words[:1]  # the others are the command's
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            # argparse takes a word with a blank for a value
            if name.startswith("--") and " " not in word and not self._knows(name):
                renamed = self._renamed.get(name)
                hint = f": use {renamed}" if renamed else _nearest(name, list(self._option_string_actions))
                self.error(f"there is no option {name}{hint}")

    def _knows(self, name: str) -> bool:
        """Return whether it is an option, or the beginning of one."""
        return any(option.startswith(name) for option in self._option_string_actions)


def _nearest(word: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(word, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _shown(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return f"[{name} ...]" if action.nargs == "*" else f"{name} ..." if action.nargs == argparse.PARSER else name
