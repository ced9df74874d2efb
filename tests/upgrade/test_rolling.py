"""A rolling upgrade under load: replicas of an earlier version are replaced one by one, and no call is lost.

`make upgrade-test` sets UPGRADE_FROM, the Python of an environment with that version. Without it, the earlier version
is this one.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from support.process import Process, started
from upgrade.load import Addresses, load
from upgrade.recorded import BUNDLE

_OLD = os.environ.get("UPGRADE_FROM", sys.executable)
_IS_UPGRADE = sys.executable != _OLD
_DRAIN_DELAY = 5 if _IS_UPGRADE else 0
"""Seconds between SIGTERM and the first rejected call, as deploy/base sets it: the client of 0.1.0 repeats no call."""
_OPTIONS = ("--model", str(BUNDLE), "--lanes", "1", "--provider", "cpu", "--drain-delay", str(_DRAIN_DELAY))


class Replicas:
    """Two servers whose ports stay the same. The model name of a response shows which server made it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        with ThreadPoolExecutor() as threads:
            self._running = list(threads.map(self._start, [_OLD, _OLD], ["old-0", "old-1"]))
        self.addresses = Addresses([one.grpc for one in self._running], [one.rest for one in self._running])

    def replace(self, number: int, python: str, name: str) -> None:
        """End a server as an orchestrator does, and start another one on its ports."""
        self._running[number].popen.terminate()
        assert self._running[number].ended() == 0
        grpc, rest = (urls[number].rpartition(":")[2] for urls in (self.addresses.grpc, self.addresses.rest))
        self._running[number] = self._start(python, name, "--grpc-port", grpc, "--rest-port", rest)

    def _start(self, python: str, name: str, *options: str) -> Process:
        return self._stack.enter_context(started(*_OPTIONS, "--model-name", name, *options, python=python))


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    """Start two replicas of the earlier version."""
    with ExitStack() as stack:
        yield Replicas(stack)


async def test_rolling_upgrade_loses_no_call(replicas: Replicas) -> None:
    """Each replica drains, ends, and is replaced. The next one follows when all callers use the new one. In an
    upgrade, the last one goes back to the earlier version."""
    steps = [(0, sys.executable, "new-0"), (1, sys.executable, "new-1")]
    steps += [(1, _OLD, "back-1")] if _IS_UPGRADE else []
    kinds = {"unary", "stream", "rest"} | ({"old client"} if _IS_UPGRADE else set())
    async with load(replicas.addresses, old_client=_IS_UPGRADE) as answers:
        await answers.wait_for("old-0", kinds)
        for number, python, name in steps:
            await asyncio.to_thread(replicas.replace, number, python, name)
            await answers.wait_for(name, kinds)
