"""The requests that need a running batch."""

from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.running_batches import RunningBatches


def test_batch_is_unneeded_when_its_last_request_leaves() -> None:
    """A request may need several batches; only those without other requests are returned."""
    running: RunningBatches[str] = RunningBatches()
    shared, own = CancelToken(), CancelToken()
    for batch in (shared, own):
        running.start(batch)
        assert not running.is_needed(batch)
    running.need(shared, ["first", "second"])
    running.need(own, ["first"])
    assert running.leave("first") == [own]
    assert (running.is_needed(shared), running.is_needed(own)) == (True, False)
    assert running.leave("second") == [shared]


def test_batch_that_has_ended_is_not_returned() -> None:
    """Its requests may leave later."""
    running: RunningBatches[str] = RunningBatches()
    batch = CancelToken()
    running.start(batch)
    running.need(batch, ["only"])
    running.end(batch)
    assert running.leave("only") == []


def test_batch_is_returned_once() -> None:
    """It stays until it ends, but no request needs it."""
    running: RunningBatches[str] = RunningBatches()
    batch = CancelToken()
    running.start(batch)
    running.need(batch, ["only"])
    assert running.leave("only") == [batch]
    assert running.leave("only") == []
