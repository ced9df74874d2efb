"""A finding of `rerank doctor`."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """The status of a finding."""

    OK = "ok"
    SLOW = "slow"
    """The server works, and could be faster."""
    WRONG = "wrong"
    """The server does not start, or does not work as the settings say."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about this machine or the settings."""

    name: str
    """The part that the fact is about, such as `memory` or `--rest-port`."""
    status: Status
    text: str
    """The fact, in one line."""
    fix: str = ""
    """The next step, in one line; empty if the status is OK."""
    details: str = ""
    """Further facts, such as all versions; in lines that may be long, and in JSON."""


def ok(name: str, text: str, *, details: str = "") -> Finding:
    """Return a finding that needs no fix."""
    return Finding(name, Status.OK, text, details=details)


def slow(name: str, text: str, fix: str) -> Finding:
    """Return a finding about something that could be faster."""
    return Finding(name, Status.SLOW, text, fix)


def wrong(name: str, text: str, fix: str) -> Finding:
    """Return a finding about something that does not work."""
    return Finding(name, Status.WRONG, text, fix)


def any_wrong(findings: Iterable[Finding]) -> bool:
    """Return whether something is wrong."""
    return any(finding.status is Status.WRONG for finding in findings)
