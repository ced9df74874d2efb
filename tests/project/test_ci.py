"""CI, hooks and CONTRIBUTING.md name only targets and files that exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
_TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (_ROOT / "Makefile").read_text(), re.MULTILINE))
_WORKFLOWS = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))
_CI, _NIGHTLY = (
    yaml.safe_load((_ROOT / ".github" / "workflows" / f"{name}.yml").read_text()) for name in ("ci", "nightly")
)

_MISSING = {"3.14": {"openvino-test"}}
"""Steps that cannot run on a version of Python: onnxruntime-openvino has no wheel for 3.14 yet."""


def _made(text: str) -> list[str]:
    """Return the targets of each `make …` in a text."""
    commands = re.findall(r"\bmake ((?:[a-z][a-z-]*(?: |$|(?=[`'\n])))+)", text)
    return [target for command in commands for target in command.split()]


def _hooks() -> list[dict[str, Any]]:
    config = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text())
    return [hook for repository in config["repos"] for hook in repository["hooks"]]


def test_ci_runs_on_every_python_version_of_the_classifiers() -> None:
    """The first one is the oldest version that the project supports."""
    prefix = "Programming Language :: Python :: 3."
    versions = [name.rpartition(" ")[2] for name in _PROJECT["classifiers"] if name.startswith(prefix)]
    assert _CI["jobs"]["run"]["strategy"]["matrix"]["python"] == versions
    assert _PROJECT["requires-python"] == f">={versions[0]}"


def test_ci_installs_the_oldest_python() -> None:
    """Without it, `.ci/run` leaves out the tests with the lowest versions."""
    (installed,) = (step["with"] for step in _CI["jobs"]["run"]["steps"] if "setup-python" in step.get("uses", ""))
    assert _PROJECT["requires-python"].removeprefix(">=") in installed["python-version"].split()


def test_the_required_job_waits_for_all_others() -> None:
    """It fails unless each of them succeeded."""
    required = _CI["jobs"]["required"]
    assert set(required["needs"]) == _CI["jobs"].keys() - {"required"}
    assert required["if"] == "always()"
    (step,) = required["steps"]
    assert step["run"].count("success") == len(required["needs"])


@pytest.mark.parametrize("path", _WORKFLOWS, ids=lambda path: path.name)
def test_workflows_use_only_githubs_own_actions(path: Path) -> None:
    """No other code gets access to the repository, and no workflow may write to it."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(step["uses"].startswith("actions/") for step in steps if "uses" in step)


def test_ci_and_hooks_run_targets_of_the_makefile() -> None:
    """Everyone can repeat a failure with the command in the log."""
    (default,) = re.findall(r"set -- (.*)", (_ROOT / ".ci" / "run").read_text())
    assert set(default.split()) <= _TARGETS
    for job in _CI["jobs"]["run"]["strategy"]["matrix"]["include"]:
        assert set(job["steps"].split()) == set(default.split()) - _MISSING[job["python"]]
    for hook in _hooks():
        assert hook["entry"].startswith("make ")
        assert set(_made(hook["entry"])) <= _TARGETS
    for path in _WORKFLOWS:
        assert set(_made(path.read_text())) <= _TARGETS


def test_each_night_runs_the_faults_and_the_tests_of_proxies() -> None:
    """CI runs one stage of the long ones, and has no proxy. Faults that need root would be skipped without it."""
    (nightly,) = re.findall(r"^nightly: (?!export)(.*?)  ##", (_ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"test", "torture-faults"} <= set(nightly.split())
    steps = {name: [step.get("run", "") for step in job["steps"]] for name, job in _NIGHTLY["jobs"].items()}
    (install,) = (run for run in steps["nightly"] if "apt-get install" in run)
    assert {"haproxy", "nginx"} <= set(install.split())
    (faults,) = (run for run in steps["faults"] if "torture-faults" in _made(run))
    assert faults.startswith("sudo ")


def test_the_guide_names_targets_and_paths_that_exist() -> None:
    """Check each `make …` and each path in CONTRIBUTING.md. test_links.py checks its links."""
    text = (_ROOT / "CONTRIBUTING.md").read_text()
    assert set(_made(text)) <= _TARGETS
    paths = re.findall(r"`((?:service|tests|docs|deploy|proto)/[^` ]*)`", text)
    missing = [path for path in paths if not (_ROOT / path).exists()]
    assert not missing


def test_modules_in_covered_exist_with_their_tests() -> None:
    """The coverage gate would pass with a misspelt name in COVERED, because it would measure nothing."""
    (covered,) = re.findall(r"^COVERED := (.*)$", (_ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in map(Path, covered.split()):
        module, tests = _ROOT / "service" / "rerank_service" / name, _ROOT / "tests" / "service" / name
        assert module.is_dir() or module.with_suffix(".py").exists(), f"COVERED: there is no module {name}"
        assert tests.is_dir() or tests.with_name(f"test_{name.name}.py").exists(), f"COVERED: {name} has no tests"
