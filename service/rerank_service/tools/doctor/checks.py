"""Run checks, each on its own: a check that fails is a finding, and the next one runs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rerank_service.error_text import one_line
from rerank_service.errors import OperatorError
from rerank_service.installation import server_install_command
from rerank_service.tools.doctor.finding import Finding, wrong


@dataclass(frozen=True, slots=True)
class Check:
    """A check, and the fix if it fails."""

    name: str
    find: Callable[[], Iterable[Finding]]
    """Return the findings. May raise any error, also after it has yielded findings."""
    fix: str


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Yield the findings of all checks, each as soon as it is known."""
    for check in checks:
        try:
            yield from check.find()
        except Exception as error:  # noqa: BLE001 - any error is a finding
            yield _failure(check, error)


def _failure(check: Check, error: Exception) -> Finding:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("rerank"):
        return wrong(check.name, f"the Python package {error.name} is not installed", server_install_command())
    text = one_line(error)
    return wrong(check.name, text if isinstance(error, OperatorError) else f"{type(error).__name__}: {text}", check.fix)
