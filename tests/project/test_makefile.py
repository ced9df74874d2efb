"""Variables on the command line of make: unknown ones are rejected."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _make(*arguments: str, run: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `make -n`, which executes nothing, or make, without the variables of a make that runs this test."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *([] if run else ["-n"]), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=variables,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("export", "MODEL=a/b", "PRECISION=int8"),
            "did you mean PRECISIONS? It takes EXPORT_VENV MODEL OPTIONS OUT PRECISIONS PYTHON REVISION VENV.",
        ),
        (("export", "model=a/b"), "no variable model; did you mean MODEL?"),
        (("bench", "QUIK=1"), "no variable QUIK; did you mean QUICK?"),
        (("test-clients", "ONLI=js"), "no variable ONLI; did you mean ONLY?"),
        (("help", "NOTHING_LIKE_THAT=1"), "no variable NOTHING_LIKE_THAT; it takes PYTHON VENV."),
        (
            ("run", "MODEL=out/mine"),
            "make run has no variable MODEL (make bench-highlights export torture has); it takes PYTHON VENV.",
        ),
        (("NOTHING=1",), "make help has no variable NOTHING"),
    ],
)
def test_unknown_variables_are_rejected(arguments: tuple[str, ...], words: str) -> None:
    """Before any recipe runs, with one line that names the nearest variable, and those of the target only."""
    done = _make(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "MODEL=a/b"),
        ("export", "MODEL=a/b", "OPTIONS=--name x --no-pass=y"),
        ("help", "RERANK_GRPC_PORT=1"),
        ("help", "HF_TOKEN=x"),
        ("lint", "export", "MODEL=a/b"),
        (".venv-export/bin/python", "EXPORT_VENV=.venv-export"),
    ],
)
def test_known_variables_are_accepted(arguments: tuple[str, ...]) -> None:
    """The Makefile reads some of them and passes others to commands."""
    done = _make(*arguments)
    assert "has no variable" not in done.stderr


def test_generated_files_are_not_written_in_place() -> None:
    """`make -j check` reads stubs and pages while it makes them again: a page must not be empty for a moment."""
    recipes = _make("proto", "docs").stdout
    written = re.findall(r"(?:_out=(?:quiet:)?|> |sed -i '\S+' )([\w./]+)", recipes)
    assert len(written) > 10
    assert [file for file in written if not file.startswith("build/")] == []


def test_every_variable_of_a_recipe_is_known() -> None:
    """A variable that is missing in the lists would be rejected although a recipe reads it."""
    text = (ROOT / "Makefile").read_text()
    lists = dict(re.findall(r"^(OF_[a-z-]+|BUILDS|EVERYWHERE) := (.*)$", text, re.MULTILINE))
    known = set(" ".join(lists.values()).split())
    assert set(re.findall(r"^([A-Z_]+) \?=", text, re.MULTILINE)) <= known
    for target, recipe in re.findall(r"^([a-z-]+):[^\n=]*\n((?:\t.*\n)+)", text, re.MULTILINE):
        read = set(re.findall(r"\$\(if \$\(([A-Z]+)\)", recipe))
        assert read <= set(lists.get(f"OF_{target}", "").split()), target


def test_lock_renews_all_constraints_of_installations() -> None:
    """But for those of bench-lock and clients-lock, which have variables in their names."""
    text = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^lock:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    installed = set(re.findall(r"-c ([\w/]+\.txt)", text))
    assert len(installed) > 3
    assert installed == set(re.findall(r"(?:-o |,)([\w/]+/constraints\.txt)", recipe))


def _expect_refusal(words: str, *arguments: str) -> None:
    """Expect that make ends with an error that has these words, before it installs anything."""
    done = _make(*arguments, run=True)
    assert done.returncode == 2
    assert words in done.stderr
    assert "installing" not in done.stdout


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("", "say which model: make export MODEL="),
        ("./missing", "MODEL is ./missing, and there is no such folder"),
        ("/missing/folder", "MODEL is /missing/folder, and there is no such folder"),
        ("a/b/c", "MODEL is a/b/c, and there is no such folder"),
        ("docs", "MODEL is docs, a folder without config.json"),
        ("README.md", "MODEL is README.md, a file"),
        ("no name", "MODEL is no name, and there is no such folder"),
    ],
)
def test_model_is_checked_before_the_installation(model: str, words: str) -> None:
    """The recipe of the check alone: the exporter is installed after it."""
    _expect_refusal(words, f"MODEL={model}", ".model-given", "export")


@pytest.mark.parametrize(
    "model", ["cross-encoder/ms-marco-MiniLM-L6-v2", "bert-base-uncased", "service/rerank_service/models/starter"]
)
def test_hub_ids_and_folders_pass_the_check(model: str) -> None:
    """A name that is no folder may be on the hub."""
    done = _make(f"MODEL={model}", ".model-given", run=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("starter", "words"),
    [
        ("", "say which folder has the source of the bundled model: make golden STARTER=<folder>"),
        ("./missing", "STARTER is ./missing, and ./missing/config.json does not exist"),
        ("docs", "STARTER is docs, and docs/config.json does not exist"),
    ],
)
def test_folder_of_the_starter_is_checked(starter: str, words: str) -> None:
    """The recipe of the check alone."""
    _expect_refusal(words, f"STARTER={starter}", ".starter-given", "golden")


@pytest.mark.parametrize("target", ["starter", "golden"])
def test_folder_of_the_starter_is_checked_before_the_installation(target: str, tmp_path: Path) -> None:
    """The exporter needs torch, whose installation takes minutes."""
    plan = _make(target, f"EXPORT_VENV={tmp_path / 'none'}").stdout
    assert f"make {target} STARTER=<folder>" in plan
    assert plan.index("say which folder") < plan.index("installing the exporter")


def test_folder_with_a_configuration_passes_the_check(tmp_path: Path) -> None:
    """The folder of the starter has one."""
    (tmp_path / "config.json").touch()
    done = _make(f"STARTER={tmp_path}", ".starter-given", run=True)
    assert (done.returncode, done.stderr) == (0, "")
