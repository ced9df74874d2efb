"""The files in docs/examples run as they are written. tests/docs runs the blocks of README.md and docs/."""

import re
import subprocess
import sys
from pathlib import Path

from support.process import Start, environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


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
