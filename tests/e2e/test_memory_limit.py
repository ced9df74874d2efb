"""A server in a memory cgroup of the kernel. tests/service/engine/test_cgroup_limits.py has other limits."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.memory_cgroup import memory_cgroup
from support.process import command, environment, started

pytestmark = pytest.mark.skipif("ALL_FAULTS" not in os.environ, reason="make torture-faults runs it")

_OPTIONS = ("--lanes", "2", "--provider", "cpu", "--precision", "fp32")
_MIB = 2**20


def test_a_server_stays_within_the_memory_that_it_asks_for() -> None:
    """It warns if a model may not fit. With a little more than that, the largest batches on all lanes do."""
    documents = [" ".join(f"word{number}" for number in range(at, at + 300)) for at in range(0, 3000, 300)]
    body = {"query": "Which word?", "documents": documents}
    with (
        memory_cgroup(340 * _MIB) as prefix,
        started(*_OPTIONS, prefix=prefix) as server,
        ThreadPoolExecutor(2) as threads,
    ):
        assert [each for each in server.before if each["event"] == "memory may be too small"] == []
        rank = [
            threads.submit(httpx.post, f"{server.rest}/v2/rerank", json={**body, "query": query}, timeout=100)
            for query in ("Which word?", "Which number?", "Which text?")
        ]
        assert [request.result().status_code for request in rank] == [200, 200, 200]


def test_a_server_with_too_little_memory_says_so_before_the_kernel_kills_it() -> None:
    """The estimate is an upper bound, so it is a warning."""
    serve = command("serve", "--grpc-port", "0", "--rest-port", "0", "--log-format", "json", *_OPTIONS)
    with memory_cgroup(140 * _MIB) as prefix:
        done = subprocess.run([*prefix, *serve], env=environment(), capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert "memory may be too small" in done.stderr
