"""The subcommands of `rerank`, one file each; other packages bring more through the entry points
`rerank.commands`."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


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
