"""Cancellation of a running batch, and outputs of a wrong shape."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.engine.graph_io import GraphIO
from rerank_service.engine.runtime import Feed, ort
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
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


@pytest.mark.parametrize("shape", [(0, 1), (1, 1), (2, 2), (3,), (2, 8, 1)])
def test_logits_of_a_wrong_shape_are_an_error(shape: tuple[int, ...], small_model: Bundle) -> None:
    """Of a batch of two pairs: otherwise a document would get the score of another one."""

    class Wrong:
        graph_io = GraphIO({"input_ids": np.int64}, "logits")

        def run(self, feed: Feed, options: ort.RunOptions) -> NDArray[np.float32]:
            return np.zeros(shape, np.float32)

    session = CrossEncoder(small_model.graph, open_with=lambda graph, engine, lanes: Wrong())
    ones = np.ones((2, 8), np.int64)
    with pytest.raises(BundleInvalid, match=r"the graph returns logits of the shape .* for 2 pairs"):
        session.score(Batch(ones, ones, ones))
