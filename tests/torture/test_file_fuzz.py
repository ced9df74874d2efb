"""Part files: its inputs are repeatable, and wrong ends of commands are found. The slice of CI runs the part."""

import json
from pathlib import Path
from random import Random

import pytest

from support.command_lines import Outcome
from torture.file_fuzz.damage import damaged_file
from torture.file_fuzz.part import FileCase, case_of, problem_of
from torture.file_fuzz.scenarios import Scenario, scenarios, write_models

_COUNT = 20


def test_files_depend_on_their_number_only(tmp_path: Path) -> None:
    """And survive a file."""
    write_models(tmp_path)
    for scenario in scenarios(tmp_path):
        for name, content in scenario.files.items():
            for seed in range(_COUNT):
                damaged = damaged_file(Random(seed), name, content)
                assert damaged == damaged_file(Random(seed), name, content)
                case = FileCase(scenario.title, {name: damaged})
                assert case_of(json.loads(json.dumps(case.as_json()))) == case


_SCENARIO = Scenario(
    name="batch",
    arguments=("batch", "--model", "models/m", "1", "a.jsonl", "b.jsonl"),
    files={"a.jsonl": b"{}", "models/m/model.onnx": b""},
    output="b.jsonl",
)


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (Outcome(0, "a warning\n"), ""),
        (Outcome(1, "a warning\nrerank: a.jsonl:1: query is required\n"), ""),
        (Outcome(2, "rerank: b.jsonl exists\n"), ""),
        (Outcome(1, "rerank: models/m: there is no manifest\n"), ""),
        (Outcome(1, "rerank: models/m/model.onnx: it is damaged\n"), ""),
        (Outcome(1, "rerank: the line is not valid\n"), "the message names no file"),
        (Outcome(1, "rerank: line 1 is not valid; see batch --model\n"), "the message names no file"),
        (Outcome(1, "rerank: data.jsonl: query is required\n"), "the message names no file"),
        (Outcome(1, "rerank: a.jsonl-old: query is required\n"), "the message names no file"),
        (Outcome(1, "rerank: other/a.jsonl: query is required\n"), "the message names no file"),
        (Outcome(1, ""), "no line for people"),
        (Outcome(1, "a.jsonl is wrong\n"), "no line for people"),
        (Outcome(1, f"rerank: a.jsonl: {'x' * 3000}\n"), "no line for people"),
        (Outcome(0, "Traceback (most recent call last):\n"), "a traceback"),
        (Outcome(3, "rerank: a.jsonl\n"), "status 3"),
    ],
)
def test_wrong_ends_are_found(outcome: Outcome, problem: str) -> None:
    """A command is done, or ends with one line that names a file."""
    found = problem_of(_SCENARIO, outcome)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
