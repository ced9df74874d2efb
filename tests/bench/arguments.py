"""Parsers of the benchmarks: their --help has the layout of `rerank`, with examples."""

import argparse
from collections.abc import Sequence

from rerank_service.cli.help_format import HelpFormatter, examples_text

Examples = Sequence[tuple[str, str]]
"""Purposes, and the words after `python -m MODULE`."""


def bench_parser(module: str, description: str | None, examples: Examples) -> argparse.ArgumentParser:
    """Return a parser whose --help ends with examples. `module` is the name below `bench`; empty for `bench` itself."""
    command = f"python -m bench{module and '.'}{module}"
    lines = [(purpose, f"PYTHONPATH=tests .venv/bin/{command} {words}".rstrip()) for purpose, words in examples]
    return argparse.ArgumentParser(
        prog=command, description=description, epilog=examples_text(lines), formatter_class=HelpFormatter
    )
