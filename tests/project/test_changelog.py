"""CHANGELOG.md follows Keep a Changelog (keepachangelog.com) and matches the version of the package."""

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
    """Return all releases in the order of the file."""
    releases = []
    for heading in _HEADINGS[1:]:
        parts = _RELEASE.fullmatch(heading)
        assert parts, f"{heading!r} is not `## [1.2.3] - 2026-12-31`"
        releases.append((Version(parts["version"]), dt.date.fromisoformat(parts["date"])))
    return releases


def test_the_first_section_is_unreleased() -> None:
    """The section always exists. It may be empty."""
    assert _HEADINGS[0] == "## [Unreleased]"


def test_the_newest_release_matches_the_version() -> None:
    """A release renames [Unreleased] and sets `__version__` in one commit."""
    newest, _ = _releases()[0]
    assert str(newest) == rerank_service.__version__, (
        f"CHANGELOG.md: the newest release is {newest}, but __version__ is {rerank_service.__version__}"
    )


def test_releases_are_in_descending_order() -> None:
    """By version and by date."""
    for (version, date), (earlier, before) in pairwise(_releases()):
        assert version > earlier
        assert date >= before


def test_changes_are_grouped_by_kind() -> None:
    """Each kind has at most one section per release, with at least one line."""
    text = "\n".join(_LINES)
    for release in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert set(kinds) <= set(_KINDS)
        assert len(kinds) == len(set(kinds)), f"a kind of change has two sections: {kinds}"
        for part in re.split(r"^### .*$", release, flags=re.MULTILINE)[1:]:
            assert re.search(r"^- ", part, re.MULTILINE)
