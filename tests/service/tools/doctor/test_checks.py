"""A check that fails is a finding. Covers finding.py."""

from collections.abc import Iterator

from rerank_service.errors import BundleInvalid
from rerank_service.tools.doctor.checks import Check, run_checks
from rerank_service.tools.doctor.finding import Finding, Status, any_wrong, ok


def _broken() -> Iterator[Finding]:
    yield ok("first", "found before")
    raise RuntimeError("two\nlines")


def _refused() -> Iterator[Finding]:
    raise BundleInvalid("the bundle is wrong")


def _imports() -> Iterator[Finding]:
    import absent_package  # type: ignore[import-not-found]  # noqa: F401

    yield ok("absent", "never")


def _fine() -> Iterator[Finding]:
    yield ok("last", "runs")


def test_each_check_is_isolated() -> None:
    """Findings before an error stay, and the next checks run."""
    checks = [Check(check.__name__, check, "do it") for check in (_broken, _refused, _imports, _fine)]
    findings = list(run_checks(checks))
    assert [(finding.name, finding.status, finding.text) for finding in findings] == [
        ("first", Status.OK, "found before"),
        ("_broken", Status.WRONG, "RuntimeError: two lines"),
        ("_refused", Status.WRONG, "the bundle is wrong"),
        ("_imports", Status.WRONG, "the Python package absent_package is not installed"),
        ("last", Status.OK, "runs"),
    ]
    assert findings[1].fix == "do it"
    assert "[cpu]" in findings[3].fix
    assert any_wrong(findings)
    assert not any_wrong(findings[-1:])
