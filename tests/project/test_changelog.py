"""CHANGELOG.md has the form of Keep a Changelog, and agrees with the version."""

import datetime as dt
import re
from itertools import pairwise
from pathlib import Path

from packaging.version import Version

import rerank_service

_LINES = (Path(__file__).parents[2] / "CHANGELOG.md").read_text().splitlines()
_KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
_RELEASE = re.compile(r"## \[(?P<version>\d+\.\d+\.\d+)\] - (?P<date>\d{4}-\d\d-\d\d)")
_HEADINGS = [line for line in _LINES if line.startswith("## ")]


def _releases() -> list[tuple[Version, dt.date]]:
    """All releases, in the order of the file."""
    found = []
    for heading in _HEADINGS[1:]:
        parts = _RELEASE.fullmatch(heading)
        assert parts, f"{heading!r} is not `## [1.2.3] - 2026-12-31`"
        found.append((Version(parts["version"]), dt.date.fromisoformat(parts["date"])))
    return found


def test_changes_that_are_not_released_come_first() -> None:
    """The section may be empty, and is always there."""
    assert _HEADINGS[0] == "## [Unreleased]"


def test_the_newest_release_is_the_version() -> None:
    """A release renames [Unreleased] and sets `__version__` in one commit."""
    newest, _ = _releases()[0]
    assert str(newest) == rerank_service.__version__, (
        f"CHANGELOG.md's newest release is {newest}, and rerank_service.__version__ is {rerank_service.__version__}"
    )


def test_releases_descend() -> None:
    """Both numbers and dates."""
    for (version, date), (earlier, before) in pairwise(_releases()):
        assert version > earlier
        assert date >= before


def test_changes_are_listed_by_kind() -> None:
    """Each kind at most once in a release, with at least one line."""
    text = "\n".join(_LINES)
    for release in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert set(kinds) <= set(_KINDS)
        assert len(kinds) == len(set(kinds)), f"a kind of change stands twice: {kinds}"
        for part in re.split(r"^### .*$", release, flags=re.MULTILINE)[1:]:
            assert re.search(r"^- ", part, re.MULTILINE)
