"""Inputs that found a fault, one file each, with the expected outcome. They are tried first in each campaign, and in
the tests.

To add one, copy the file of out/torture/failures to corpus/PART/NAME.json, and write `title` (the fault) and
`expected` (kinds of outcomes, such as ["400"]) in place of `problem` and `command`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from torture.part import Case, Outcome

_FOLDER = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An input, with the outcome that it must have."""

    part: str
    case: Case
    title: str = ""
    """The fault that it found."""
    expected: tuple[str, ...] = ()
    """Kinds of outcomes that are right. Empty: any that is no failure."""

    def problem(self, outcome: Outcome) -> str:
        """Return why an outcome is wrong; empty if it is right."""
        if outcome.problem or not self.expected or outcome.kind in self.expected:
            return outcome.problem
        return f"the outcome is {outcome.kind}, expected {' or '.join(self.expected)}"


_ENTRY = TypeAdapter(Entry)


def read_entry(path: Path) -> Entry:
    """Return an entry of the corpus, or a file of out/torture/failures."""
    return _ENTRY.validate_python(json.loads(path.read_text()))


def entries(part: str) -> dict[str, Entry]:
    """Return the entries of a part by the names of their files."""
    paths = sorted((_FOLDER / part).glob("*.json"))
    return {path.stem: read_entry(path) for path in paths}
