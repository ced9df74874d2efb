"""The subcommands of `rerank`, one file each. Other packages add theirs as entry points of `rerank.commands`, which do
not replace these."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_YEAR = 365 * 24 * 60 * 60.0
WIDE_HELP = "print each row as one line with all columns, as in a pipe"
"""Help of --wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand. `rerank --help` imports its module, so the module imports large packages inside functions only."""

    help: str
    """One line for `rerank --help`."""
    description: str
    """One paragraph for the --help of the command."""
    examples: tuple[tuple[str, str], ...] = ()
    """Examples for the --help of the command: the purpose and the command line of each."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Add the arguments to a parser."""
    run: Callable[[argparse.Namespace], int]
    """Run the command and return its exit status."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Options of earlier versions, and the options that replace them."""


def positive(text: str) -> int:
    """Convert an argument to an integer of at least 1.

    Raises:
        ArgumentTypeError: it is not one.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return value


def seconds(text: str) -> float:
    """Convert an argument to a number of seconds above 0, up to a year.

    Raises:
        ArgumentTypeError: it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _YEAR:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value
