"""Tokens of batches that run at the same time."""

from rerank_service.tools.batch.cancellable_batches import CancellableBatches


def test_all_running_batches_are_cancelled() -> None:
    """Each by its own callback. A batch that has ended is not."""
    batches, stopped = CancellableBatches(), list[int]()
    with batches.running() as ended:
        ended.on_cancel(lambda: stopped.append(0))
    with batches.running() as first, batches.running() as second:
        first.on_cancel(lambda: stopped.append(1))
        second.on_cancel(lambda: stopped.append(2))
        batches.cancel()
        assert sorted(stopped) == [1, 2]
        assert first.cancelled
        assert second.cancelled
    assert not ended.cancelled


def test_a_batch_that_begins_after_the_end_is_cancelled_at_once() -> None:
    """Its engine stops before the first row."""
    batches, stopped = CancellableBatches(), list[int]()
    batches.cancel()
    with batches.running() as late:
        late.on_cancel(lambda: stopped.append(1))
    assert stopped == [1]
