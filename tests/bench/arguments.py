"""Parsers of the benchmarks: their --help has the layout of `rerank`, with examples."""

import argparse
import os
from collections.abc import Collection, Sequence

from rerank_service.cli.help_format import HelpFormatter, examples_text

Examples = Sequence[tuple[str, str]]
"""Purposes, and the words after `python -m MODULE`."""
_REMOVED_VARIABLES = ("RERANK_API_KEYS", "RERANK_MODEL", "RERANK_EXAMPLE")


def bench_parser(
    module: str, description: str | None, examples: Examples, *, package: str = "bench"
) -> argparse.ArgumentParser:
    """Return a parser whose --help ends with examples. `module` is the name below the package; empty for the package
    itself."""
    command = f"python -m {package}{module and '.'}{module}"
    lines = [(purpose, f"PYTHONPATH=tests .venv/bin/{command} {words}".rstrip()) for purpose, words in examples]
    return argparse.ArgumentParser(
        prog=command, description=description, epilog=examples_text(lines), formatter_class=HelpFormatter
    )


def chosen_names(parser: argparse.ArgumentParser, flag: str, text: str, known: Collection[str]) -> list[str]:
    """Return the names of a comma-separated value. An unknown name ends the process with status 2."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - set(known):
        parser.error(f"{flag} has unknown names: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    return names


def remove_variables() -> None:
    """Remove the variables that would lock out the benchmark's clients, or replace the model."""
    for name in _REMOVED_VARIABLES:
        os.environ.pop(name, None)
