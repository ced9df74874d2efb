"""The examples of the docs, run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

from support.process import Start, environment

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_the_movies_of_togethers_cookbook(start: Start) -> None:
    """Five of the 25 titles, the cookbook's own four about Batman first, by the unmodified SDK and its model's name."""
    variables = environment(TOGETHER_BASE_URL=start().rest, TOGETHER_API_KEY="any")
    command = [sys.executable, str(EXAMPLES / "movies.py")]
    said = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    titles = re.findall(r"^Document: (.*)$", said, re.MULTILINE)
    scores = [float(score) for score in re.findall(r"^Relevance Score: (.*)$", said, re.MULTILINE)]
    assert len(titles) == 5
    assert scores == sorted(scores, reverse=True)
    assert set(titles[:4]) == {
        "Batman Returns",
        "Batman Begins",
        "Batman & Robin",
        "Batman v Superman: Dawn of Justice",
    }
