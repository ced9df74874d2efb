"""The examples of README.md and docs/examples run as they are written."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.process import Process, Start, environment, started

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """Start one server for the examples of the README."""
    with started() as process:
        yield process


def test_readme_has_an_example_for_each_protocol() -> None:
    """Find the gRPC client, and the Cohere SDK over REST."""
    assert ["RerankClient" in block for block in PYTHON_BLOCKS] == [True, False]
    assert ["import cohere" in block for block in PYTHON_BLOCKS] == [False, True]


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=["gRPC client", "Cohere SDK"])
def test_readme_python_ranks_paris_first(server: Process, block: str) -> None:
    """Run a block of the README against a started server. Only the addresses differ."""
    code = block.replace("127.0.0.1:50051", server.grpc).replace("http://127.0.0.1:8080", server.rest)
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert re.match(r"1 0\.[89]|.*index=1,", printed)


def test_movies_of_togethers_cookbook(start: Start) -> None:
    """Rank the 25 titles with the unmodified SDK and the cookbook's model name: its four Batman titles come first."""
    variables = environment(TOGETHER_BASE_URL=start().rest, TOGETHER_API_KEY="any")
    command = [sys.executable, str(EXAMPLES / "movies.py")]
    printed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    titles = re.findall(r"^Document: (.*)$", printed, re.MULTILINE)
    scores = [float(score) for score in re.findall(r"^Relevance Score: (.*)$", printed, re.MULTILINE)]
    assert len(titles) == 5
    assert scores == sorted(scores, reverse=True)
    assert set(titles[:4]) == {
        "Batman Returns",
        "Batman Begins",
        "Batman & Robin",
        "Batman v Superman: Dawn of Justice",
    }
