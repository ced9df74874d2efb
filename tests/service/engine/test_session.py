"""The session: stopped between two nodes, and good for the next batch."""

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


class _Told(CancelToken):
    """A stop that is asked for as soon as the batch runs."""

    def __init__(self) -> None:
        super().__init__()
        self._runs = threading.Event()

    def on_cancel(self, how: Callable[[], None]) -> None:
        super().on_cancel(how)
        self._runs.set()

    def ask_when_it_runs(self) -> None:
        self._runs.wait()
        self.cancel()


def test_a_stopped_batch_raises_and_the_next_one_runs(starter: Bundle) -> None:
    """Asked for before, and while it runs: seconds of work end at once."""
    session = CrossEncoder(starter.graph)
    before = CancelToken()
    before.cancel()
    with pytest.raises(Exception, match="terminate"):
        session.score(_batch(1), before)

    while_it_runs = _Told()
    asker = threading.Thread(target=while_it_runs.ask_when_it_runs)
    asker.start()
    with pytest.raises(Exception, match="terminate"):
        session.score(_batch(64), while_it_runs)
    asker.join()
    assert np.isfinite(session.score(_batch(1), CancelToken())).all()
