"""The subcommands of `rerank`, one file each; other packages bring more through the entry points
`rerank.commands`."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. Its module is imported to list it, so what is heavy is imported when it runs."""

    help: str
    """One line."""
    description: str
    """What it does, and how to begin; shown by `--help`."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Add its arguments."""
    run: Callable[[argparse.Namespace], int]
    """Do it; gives the exit status."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Options of earlier versions, and what to use instead."""


def positive(text: str) -> int:
    """A whole number from 1 on, as the type of an argument."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return value
