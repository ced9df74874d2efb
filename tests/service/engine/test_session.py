"""Cancellation of a running batch."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch


def _batch(rows: int) -> Batch:
    ids = np.full((rows, 512), 2000, np.int64)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


class _CancelWhenRunning(CancelToken):
    """A token that is cancelled as soon as the batch runs."""

    def __init__(self) -> None:
        super().__init__()
        self._runs = threading.Event()

    def on_cancel(self, how: Callable[[], None]) -> None:
        super().on_cancel(how)
        self._runs.set()

    def cancel_when_running(self) -> None:
        self._runs.wait()
        self.cancel()


def test_cancelled_batch_raises_and_the_next_one_runs(starter: Bundle) -> None:
    """Cancelled before the run and during it: seconds of work end at once."""
    session = CrossEncoder(starter.graph)
    before = CancelToken()
    before.cancel()
    with pytest.raises(Exception, match="terminate"):
        session.score(_batch(1), before)

    while_it_runs = _CancelWhenRunning()
    canceller = threading.Thread(target=while_it_runs.cancel_when_running)
    canceller.start()
    with pytest.raises(Exception, match="terminate"):
        session.score(_batch(64), while_it_runs)
    canceller.join()
    assert np.isfinite(session.score(_batch(1), CancelToken())).all()
