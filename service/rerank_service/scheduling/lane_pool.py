"""The lane pool: the threads that run the batches of all models on one device.

A lane is a thread. As soon as it is free, it runs the next batch; `lane_shares.py` chooses whose. There are as many
lanes as the member with the most lanes has, and none without members.

Rule 1: `_shares` and `_threads` are used under the lock `_changed`. A lane asks members whether they have work under
this lock, and runs their batches without it. A member may hold a lock of its own when it calls `Membership`, so no code
here calls a method of a member that takes a lock, while it holds `_changed`.
Rule 2: a lane keeps no reference to a member while it waits, so that the memory of a model is freed.
Rule 3: no lane is missing without notice, and no batch without an end: requests would wait for it until their deadlines
pass. An error of a batch ends its member. An error of a lane itself ends all members of the pool. A batch that hangs
counts as such an error (lifecycle/hung_batches.py).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

import structlog

from rerank_service.scheduling.lane_shares import LaneShares, ShareAccount, Turn
from rerank_service.scheduling.started_threads import ThreadsMissing
from rerank_service.thread_priority import give_way

_log = structlog.get_logger()

_STALL_SECONDS = 1.0
"""A batch that takes longer is charged at most with the CPU time of the process. If the process stood still (SIGSTOP, a
frozen container), the model would wait as long for the others to catch up."""


class LaneFailed(Exception):
    """A lane has ended or hangs, or one of its batches has ended by an error that is no Exception."""


class Member(Protocol):
    """A scheduler, as its pool sees it."""

    @property
    def lanes(self) -> int:
        """Number of its batches that run at once, when it is alone."""

    @property
    def has_work(self) -> bool:
        """True if pairs wait. Takes no lock."""

    def run_batch(self, lane: int) -> bool:
        """Run the next batch on a lane of that number. Blocks. Return False if there was none."""


class LanePool:
    """The lanes of one device, which the schedulers of several models share by weight."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, cpu_clock: Callable[[], float] = time.process_time
    ) -> None:
        """`clock` returns seconds, by which batches are measured; `cpu_clock` the CPU time of the process."""
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._changed = threading.Condition()
        self._shares: LaneShares[Membership] = LaneShares()
        self._threads: dict[int, threading.Thread] = {}
        self._batches = count(1)
        self._running: dict[int, tuple[int, Membership]] = {}
        """The lanes that run a batch, each with a number that no other batch has, and the member."""
        self._named: dict[str, Share] = {}

    def share(self, name: str, weight: float = 1.0) -> "Share":
        """Return the share of a model, and set its weight. All versions of a model use one share."""
        with self._changed:
            share = self._named.setdefault(name, Share(self, ShareAccount(name, weight)))
            share.account.weight = weight
        return share

    @contextmanager
    def member(self, member: Member, share: "Share") -> Iterator["Membership"]:
        """Run the batches of a scheduler during the block. Wait for `Membership.idle` before it ends."""
        membership = Membership(self, share, member)
        with self._changed:
            self._shares.add(membership, share.account, member.lanes)
        try:
            self._start_lanes()
            yield membership
        finally:
            self._remove(membership)

    def _start_lanes(self) -> None:
        """Start the lanes that are missing. If the system allows no more threads, the lanes that exist do the work.

        Raises:
            ThreadsMissing: there is no thread at all.
        """
        with self._changed:
            missing = [number for number in range(self._shares.lanes) if number not in self._threads]
            if not all(map(self._start_lane, missing)):
                _log.warning("lanes not started", lanes=len(self._threads), needed=self._shares.lanes)
            self._changed.notify_all()

    def _start_lane(self, number: int) -> bool:
        thread = threading.Thread(target=self._lane, args=(number,), name=f"lane-{number}")
        try:
            thread.start()
        except RuntimeError as error:  # the limit of threads is reached
            if not self._threads:
                raise ThreadsMissing(f"the system started no lane ({error})") from error
            return False
        self._threads[number] = thread
        return True

    def _remove(self, membership: "Membership") -> None:
        with self._changed:
            self._shares.remove(membership)
            self._changed.notify_all()
            ended = [] if len(self._shares) else list(self._threads.values())
        for thread in ended:  # no batch runs on them, so they end at once
            thread.join()

    def _lane(self, number: int) -> None:
        give_way()
        try:
            while self._run_next(number):
                pass
        except BaseException as error:  # noqa: BLE001 - every request would wait for the lane
            self.fail(number, LaneFailed(f"lane {number} has ended: {error!r}"), error)

    def _run_next(self, number: int) -> bool:
        """Wait for the next batch and run it. Return False if this lane is not needed any more."""
        turn = self._next(number)
        if turn is None:
            return False
        seconds = now = 0.0
        try:
            started, cpu_started = self._clock(), self._cpu_clock()
            if turn.member.run_batch(number):
                now = self._clock()
                seconds = min(now - started, max(_STALL_SECONDS, self._cpu_clock() - cpu_started))
        except BaseException as error:  # noqa: BLE001 - it ends the scheduler, not the lane, which others use
            turn.member.error = _exception(error)
        self._end(number, turn, seconds, now)
        return True

    def _next(self, number: int) -> Turn["Membership"] | None:
        with self._changed:
            while number < self._shares.lanes:
                if (turn := self._shares.start(Membership.is_ready)) is not None:
                    self._running[number] = next(self._batches), turn.member
                    return turn
                self._changed.wait()
            del self._threads[number]
            return None

    def _end(self, number: int, turn: Turn["Membership"], seconds: float, now: float) -> None:
        with self._changed:
            del self._running[number]
            self._shares.end(turn, seconds, now)
            turn.member.report(running=self._runs(turn.member))
            if self._shares.is_mixed:
                self._changed.notify_all()

    def fail(self, number: int, failed: LaneFailed, cause: BaseException | None = None) -> None:
        """End all members, because a lane has ended, or never will. Batches on other lanes finish. Thread-safe."""
        failed.__cause__ = cause
        with self._changed:
            self._threads.pop(number, None)
            for membership in self._shares.members():
                membership.error = membership.error or failed
                membership.report(running=self._runs(membership))

    def _runs(self, membership: "Membership") -> int:
        """Return how many batches of a member run on lanes that have not failed. Called under the lock."""
        return sum(each is membership and lane in self._threads for lane, (_, each) in self._running.items())

    def is_running(self, membership: "Membership") -> bool:
        """Return True if a batch of a member runs on a lane that has not failed. Thread-safe."""
        with self._changed:
            return self._runs(membership) > 0

    def running(self) -> dict[int, int]:
        """Return the lanes that run a batch, each with a number that no other batch of this pool has. Thread-safe."""
        with self._changed:
            return {lane: batch for lane, (batch, _) in self._running.items()}

    def wake(self, membership: "Membership") -> None:
        """Let the lanes see that a member has work, or has none any more."""
        with self._changed:
            self._changed.notify_all()
            membership.report(running=self._runs(membership))

    def fraction(self, share: "Share") -> float:
        """Return the part of the pool that a share can get, if the others go on as lately."""
        with self._changed:
            return self._shares.fraction(share.account, self._clock())

    def has_others(self, share: "Share") -> bool:
        """Return True if other models use the pool."""
        with self._changed:
            return self._shares.has_others(share.account)


def _exception(error: BaseException) -> Exception:
    """Return an error that the event loop can raise: SystemExit would end it without any clean-up."""
    if isinstance(error, Exception):
        return error
    failed = LaneFailed(f"a batch has ended by {error!r}")
    failed.__cause__ = error
    return failed


class Share:
    """The share of one model in a pool. `LanePool.share` returns it."""

    def __init__(self, pool: LanePool, account: ShareAccount) -> None:
        self.pool = pool
        self.account = account

    @property
    def fraction(self) -> float:
        """The part of the pool, above 0 and up to 1, that the model can get if other models go on as lately."""
        return self.pool.fraction(self)

    @property
    def is_contended(self) -> bool:
        """True if other models use the pool, with or without work."""
        return self.pool.has_others(self)


class LanePools:
    """The lane pools of a process, one for each device."""

    def __init__(self) -> None:
        self._pools: dict[str, LanePool] = {}

    def of(self, device: str) -> LanePool:
        """Return the pool of a device, such as `cpu`. See `Engine.device`."""
        return self._pools.setdefault(device, LanePool())

    def all(self) -> list[LanePool]:
        """Return the pools that exist. Thread-safe."""
        return list(self._pools.values())

    def idle(self) -> bool:
        """Return True if no lane runs a batch. Thread-safe."""
        return not any(pool.running() for pool in self.all())


class Membership:
    """A scheduler in a pool. Created on the event loop."""

    def __init__(self, pool: LanePool, share: Share, member: Member) -> None:
        self.share = share
        self.error: Exception | None = None
        """The error that ended one of its batches. No further batch runs."""
        self.run_batch = member.run_batch
        self._pool = pool
        self._member = member
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()

    def is_ready(self) -> bool:
        """Return True if a lane may run a batch."""
        return self._member.has_work and not self._closed and self.error is None

    def wake(self) -> None:
        """Let the lanes see new pairs. Thread-safe."""
        self._pool.wake(self)

    def close(self) -> None:
        """Let no further batch start. Thread-safe."""
        self._closed = True
        self._pool.wake(self)

    def report(self, *, running: int) -> None:
        """Report that a batch has ended, or that the member is closed. Called by the pool, under its lock."""
        if self.error is not None or (self._closed and not running):
            self._loop.call_soon_threadsafe(self._ended.set)

    async def ended(self) -> None:
        """Wait until `close` was called and no batch runs, or until a batch ends with an error.

        Raises the error.
        """
        await self._ended.wait()
        if self.error is not None:
            raise self.error

    async def idle(self) -> None:
        """Wait until no batch runs on a lane that has not failed. Call `close` before."""
        self.error = None
        while self._pool.is_running(self):
            self._ended.clear()  # a report from before only leads to another look
            await self._ended.wait()
            self.error = None
