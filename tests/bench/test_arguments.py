"""`--help` of the benchmarks."""

import importlib
import shlex

import pytest

from bench.arguments import Examples


@pytest.mark.parametrize("module", ["__main__", "highlights", "models", "overhead", "replicas", "shapes.__main__"])
def test_help_has_two_examples_that_parse(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the parser of the benchmark."""
    bench = importlib.import_module(f"bench.{module}")
    examples: Examples = bench.EXAMPLES
    assert len(examples) >= 2
    for _, words in examples:
        bench._arguments(shlex.split(words))
    with pytest.raises(SystemExit):
        bench._arguments(["--help"])
    assert capsys.readouterr().out.count("PYTHONPATH=tests .venv/bin/python -m bench") == len(examples)
