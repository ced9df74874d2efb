"""Limit of file descriptors, in processes of their own."""

import json
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from rerank_service.lifecycle.descriptors import allow_descriptors
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_descriptors(connections)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "limit", "warned"),
    [(256, 2000, 1000, 1512, False), (1900, 2000, 1000, 1900, False), (256, 1000, 4000, 1000, True)],
    ids=["raised", "enough", "too few"],
)
def test_limit_suffices_for_all_connections(soft: int, hard: int, connections: int, limit: int, warned: bool) -> None:
    """As far as the system allows. The warning says what to do."""
    sent = map(str, (soft, hard, connections))
    done = subprocess.run([sys.executable, "-c", CODE, *sent], capture_output=True, text=True, check=True)
    assert done.stdout == f"{limit} {hard}\n"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["limit"], line["needed"]) for line in lines] == (
        [("few file descriptors", limit, connections + 512)] if warned else []
    )
