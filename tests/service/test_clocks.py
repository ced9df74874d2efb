"""The wall clock is read only where a date is meant: deadlines, quotas and measurements use monotonic clocks.

tests/e2e/test_clock_jumps.py lets the clock of a started server jump.
"""

import ast
from collections import Counter
from pathlib import Path

import rerank
import rerank_service

_ROOTS = [Path(module.__path__[0]) for module in (rerank, rerank_service)]
_WALL = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow"}
_DATES = {
    "api/auth.py": 1,  # keys expire at a date
    "api/http/routes.py": 1,  # the field `created` of responses
    "api/tls/certificates.py": 2,  # certificates are valid from one date to another
    "models/variants/temporary_folders.py": 1,  # age of files. A folder that is removed too early is made again
    "tools/loadtest/load_report.py": 1,  # the date of a report
    "tracing/traces.py": 1,  # a span begins and ends at dates, which are computed anew for each request
}
"""Files that may read the wall clock, each with the number of places."""


def _reads(path: Path) -> int:
    return sum(
        ast.unparse(node) in _WALL for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    )


def test_the_wall_clock_is_read_for_dates_only() -> None:
    """A new place needs a reason in the list above: a jump of the clock must not end a request."""
    reads = Counter({path.relative_to(root).as_posix(): _reads(path) for root in _ROOTS for path in root.rglob("*.py")})
    assert +reads == Counter(_DATES)
