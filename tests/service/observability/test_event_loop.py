"""The observed event loop: how long its turns take."""

import asyncio
import math
import selectors
import socket
from contextvars import ContextVar

import pytest

from rerank_service.observability.event_loop import MAX_EVENTS, MAX_TIMERS, ObservedLoop, running_turns
from rerank_service.observability.loop_turns import LoopTurns
from support.garbage import kept_garbage


class _Clock:
    """A clock that only callbacks move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_turns_are_counted_in_cumulative_buckets() -> None:
    """Each bucket has all turns that took no longer, as in Prometheus."""
    turns = LoopTurns()
    for seconds in (0.0001, 0.003, 0.02, 7.0):
        turns.count(seconds, 0.002)
    blocked, cpu = turns.totals().blocked, turns.totals().cpu
    assert dict(blocked.buckets)[0.0005] == 1
    assert dict(blocked.buckets)[0.005] == 2
    assert dict(blocked.buckets)[0.02] == 3
    assert blocked.buckets[-1] == (math.inf, 4)
    assert blocked.seconds == 7.0231
    assert dict(cpu.buckets)[0.001] == 0
    assert dict(cpu.buckets)[0.0025] == 4
    assert turns.longest == 7.0


def test_longest_callback_is_the_longest_turn() -> None:
    """The clocks of the test move only within callbacks, so the figures are exact. A tenth of a turn is CPU time."""
    clock, cpu_clock = _Clock(), _Clock()

    def block(seconds: float) -> None:
        clock.now += seconds
        cpu_clock.now += seconds / 10

    async def work() -> None:
        for seconds in (0.25, 1.5, 0.5):
            asyncio.get_running_loop().call_soon(block, seconds)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=lambda: ObservedLoop(clock, cpu_clock)) as runner:
        runner.run(work())
        loop = runner.get_loop()
        assert isinstance(loop, ObservedLoop)
        assert loop.turns.longest == 1.5
        totals = loop.turns.totals()
        assert totals.blocked.seconds == 2.25
        assert totals.cpu.seconds == pytest.approx(0.225)
        assert dict(totals.cpu.buckets)[0.1] == totals.cpu.buckets[-1][1] - 1


def test_only_an_observed_loop_has_turns() -> None:
    """A server in another loop has no such metric."""

    async def turns() -> LoopTurns | None:
        return running_turns()

    assert asyncio.run(turns()) is None
    with asyncio.Runner(loop_factory=ObservedLoop) as runner:
        assert runner.run(turns()) is not None


def test_late_return_from_a_wait_counts() -> None:
    """The loop asked for 1 ms and ran again after 0.5 s: another thread held the interpreter's lock."""
    readings = iter((0.0, 0.5, 0.5, 0.5))
    loop = ObservedLoop(lambda: next(readings))
    selector = loop._selector  # type: ignore[attr-defined]
    selector.select(0.001)
    selector.select(0)
    loop.close()
    assert 0.49 < loop.turns.longest < 0.5


def test_many_events_are_returned_in_parts() -> None:
    """In their order, each once, and without those of a socket that was closed meanwhile."""
    pairs = [socket.socketpair() for _ in range(3 * MAX_EVENTS)]
    loop = ObservedLoop()
    selector = loop._selector  # type: ignore[attr-defined]
    before = {key.fd for key in selector.get_map().values()}
    for number, (mine, other) in enumerate(pairs):
        selector.register(mine, selectors.EVENT_READ, number)
        other.send(b"1")
    first = [key.data for key, _ in selector.select(0)]
    closed = next(number for number in range(len(pairs)) if number not in first)
    selector.unregister(pairs[closed][0])
    rest = [[key.data for key, _ in selector.select(0)] for _ in range(2)]
    assert [len(first), max(map(len, rest))] == [MAX_EVENTS, MAX_EVENTS]
    assert sorted([*first, *rest[0], *rest[1], closed]) == list(range(len(pairs)))
    for mine, other in pairs:
        if mine is not pairs[closed][0]:
            selector.unregister(mine)
        mine.close()
        other.close()
    assert {key.fd for key in selector.get_map().values()} == before
    loop.close()


def test_many_due_timers_run_in_parts() -> None:
    """In their order, each in its context, without those that are cancelled in a turn before theirs. An error of one
    is reported, and the others run."""
    name: ContextVar[int] = ContextVar("name")
    ran: list[list[int]] = []
    errors: list[BaseException | None] = []
    count = 3 * MAX_TIMERS
    cancelled, failing = 2 * MAX_TIMERS, 1

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, report: errors.append(report.get("exception")))
        timers: list[asyncio.TimerHandle] = []

        def run(number: int) -> None:
            assert name.get() == number
            ran[-1].append(number)
            timers[cancelled].cancel()
            if number == failing:
                raise ValueError("the fault of a test")

        for number in range(count):
            name.set(number)
            timers.append(loop.call_at(number * 1e-6, run, number))
        while sum(map(len, ran)) < count - 1:
            ran.append([])
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=ObservedLoop) as runner:
        runner.run(work())
    parts = [part for part in ran if part]
    assert [len(part) for part in parts] == [MAX_TIMERS, MAX_TIMERS, MAX_TIMERS - 1]
    assert [number for part in parts for number in part] == [each for each in range(count) if each != cancelled]
    assert [type(error) for error in errors] == [ValueError]


def test_timer_that_ran_frees_its_owner() -> None:
    """An owner that keeps the handle, such as a connection of uvicorn, is freed with its last reference."""

    class Owner:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.ran = loop.create_future()
            self.handle = loop.call_later(0, self.run)

        def run(self) -> None:
            self.ran.set_result(None)

    async def work() -> set[str]:
        with kept_garbage() as garbage:
            owner = Owner(asyncio.get_running_loop())
            await owner.ran
            del owner
            await asyncio.sleep(0)
        return {type(each).__name__ for each in garbage}

    with asyncio.Runner(loop_factory=ObservedLoop) as runner:
        assert "Owner" not in runner.run(work())


def test_a_timeout_still_ends_its_block() -> None:
    """Also one that passed before it began."""

    async def work() -> list[bool]:
        loop = asyncio.get_running_loop()
        expired = []
        for at in (0.0, loop.time() + 0.001):
            try:
                async with asyncio.timeout_at(at):
                    await loop.create_future()
            except TimeoutError:
                expired.append(True)
        return expired

    with asyncio.Runner(loop_factory=ObservedLoop) as runner:
        assert runner.run(work()) == [True, True]
