"""Layout of `--help`: a short usage line, wrapped paragraphs, and examples that can be copied."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text
from rich_argparse import RichHelpFormatter


def short_usage(prog: str, actions: Iterable[argparse.Action]) -> str:
    """Return one line: the command, its required options, and its positional arguments."""
    options = [action for action in actions if action.option_strings]
    required = [f"{action.option_strings[0]} {action.metavar}" for action in options if action.required]
    positionals = [_positional(action) for action in actions if not action.option_strings]
    return " ".join([prog, *required, *(["[OPTION]..."] if options else []), *positionals])


def _positional(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.nargs == "?":
        return f"[{name}]"
    return f"[{name} ...]" if action.nargs == "*" else f"{name} ..." if action.nargs == argparse.PARSER else name


def _capitalized(heading: str) -> str:
    return heading[:1].upper() + heading[1:]


class HelpFormatter(RichHelpFormatter):
    """Formatter of `--help`. Brackets in help texts are plain text, not markup."""

    help_markup = False
    text_markup = False
    group_name_formatter = staticmethod(_capitalized)  # type: ignore[assignment]  # mypy takes it for a method

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """Add the short usage line: a list of all options would repeat the lines below it."""
        actions = list(actions)
        super().add_usage(usage or short_usage(self._prog, actions), actions, groups, prefix)

    def _rich_format_action(self, action: argparse.Action) -> Iterator[tuple[Text, Text | None]]:
        """Show the commands without a line for the word COMMAND above them."""
        if action.nargs == argparse.PARSER:
            self._dedent()
            for command in self._iter_indented_subactions(action):
                yield from super()._rich_format_action(command)
            self._indent()
        else:
            yield from super()._rich_format_action(action)

    def add_text(self, text: Any) -> None:
        """Add paragraphs. A paragraph with line breaks, such as examples, keeps them; others are wrapped."""
        if not isinstance(text, str) or text is argparse.SUPPRESS:
            super().add_text(text)
            return
        for paragraph in text.split("\n\n"):
            if "\n" in paragraph:
                self._current_section.rich_items.append(Text(f"{paragraph}\n\n"))
            else:
                super().add_text(paragraph)


def examples_text(examples: Sequence[tuple[str, str]]) -> str:
    """Return a paragraph of examples: pairs of a purpose and a command line."""
    return "\n".join(["Examples:", *(f"  # {purpose}\n  {command}" for purpose, command in examples)])
