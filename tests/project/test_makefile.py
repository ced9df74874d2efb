"""Variables on the command line of make: known ones are taken, others refused."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make without doing anything, and without the variables of a make that runs this test."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, env=ours, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "MODEL=a/b", "PRECISION=int8"), "unknown variable PRECISION; did you mean PRECISIONS?"),
        (("export", "model=a/b"), "unknown variable model; did you mean MODEL?"),
        (("bench", "QUIK=1"), "unknown variable QUIK; did you mean QUICK?"),
        (("test-clients", "ONLI=js"), "unknown variable ONLI; did you mean ONLY?"),
        (("help", "NOTHING_LIKE_THAT=1"), "unknown variable NOTHING_LIKE_THAT; known: "),
    ],
)
def test_an_unknown_variable_is_refused(arguments: tuple[str, ...], words: str) -> None:
    """Before anything is done, with one line that names the nearest."""
    done = _make(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("variable", ["MODEL=a/b", "OPTIONS=--name x --no-pass=y", "RERANK_GRPC_PORT=1", "HF_TOKEN=x"])
def test_known_variables_are_taken(variable: str) -> None:
    """The Makefile reads some of them and passes others on to commands."""
    assert _make("help", variable).returncode == 0


def test_every_variable_of_the_recipes_is_known() -> None:
    """One that a recipe reads and the list lacks would be refused."""
    text = (ROOT / "Makefile").read_text()
    optional = set(re.findall(r"^([A-Z_]+) \?=", text, re.MULTILINE)) | set(re.findall(r"\$\(if \$\(([A-Z]+)\)", text))
    for name in optional - {"NEAREST"}:
        assert _make("help", f"{name}=x").returncode == 0, name
