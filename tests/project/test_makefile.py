"""Variables on the command line of make: unknown ones are rejected."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make -n`, which executes nothing, without the variables of a make that runs this test."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, env=variables, timeout=60
    )


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
def test_unknown_variables_are_rejected(arguments: tuple[str, ...], words: str) -> None:
    """Before any recipe runs, with one line that names the nearest known variable."""
    done = _make(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("variable", ["MODEL=a/b", "OPTIONS=--name x --no-pass=y", "RERANK_GRPC_PORT=1", "HF_TOKEN=x"])
def test_known_variables_are_accepted(variable: str) -> None:
    """The Makefile reads some of them and passes others to commands."""
    assert _make("help", variable).returncode == 0


def test_every_variable_of_a_recipe_is_known() -> None:
    """A variable that is missing in the list would be rejected although a recipe reads it."""
    text = (ROOT / "Makefile").read_text()
    optional = set(re.findall(r"^([A-Z_]+) \?=", text, re.MULTILINE)) | set(re.findall(r"\$\(if \$\(([A-Z]+)\)", text))
    for name in optional - {"NEAREST"}:
        assert _make("help", f"{name}=x").returncode == 0, name
