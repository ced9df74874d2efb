"""Batches that never end: found by the time that each has been running. tests/e2e/test_faults.py has the end of the
process."""

from rerank_service.lifecycle.hung_batches import BatchWatch
from rerank_service.scheduling.lane_pool import LanePool


class _Pool(LanePool):
    """A pool with batches that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: dict[int, int] = {}

    def running(self) -> dict[int, int]:
        return self.batches


def test_a_batch_that_reaches_the_limit_hangs() -> None:
    """Other batches on its lane and on other lanes do not count."""
    pool = _Pool()
    watch = BatchWatch(lambda: [_Pool(), pool], limit=5.0)
    pool.batches = {0: 1, 1: 2}
    assert [watch.look(0.5) for _ in range(10)] == [None] * 10
    pool.batches = {0: 3, 1: 2}
    hung = watch.look(0.5)
    assert hung is not None
    assert (hung.pool, hung.lane, hung.seconds) == (pool, 1, 5.0)


def test_short_batches_never_hang() -> None:
    """Their times do not add up."""
    pool = _Pool()
    watch = BatchWatch(lambda: [pool], limit=5.0)
    for batch in range(100):
        pool.batches = {0: batch}
        assert watch.look(0.5) is None


def test_time_in_which_the_process_stood_still_does_not_count() -> None:
    """After SIGSTOP for an hour, a running batch has the same time left as before."""
    pool = _Pool()
    watch = BatchWatch(lambda: [pool], limit=5.0)
    pool.batches = {0: 1}
    assert [watch.look(seconds) for seconds in (0.5, 3600.0, 0.5)] == [None] * 3
    assert [watch.look(0.5) for _ in range(6)] == [None] * 6
    assert watch.look(0.5) is not None
