"""Let a batch run alone: while no other batch of its model runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SoloRuns:
    """Lets batches run beside each other, or one of them alone. Thread-safe.

    A run that is to be alone waits for the running batches, and later batches wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside = 0
        """Number of batches that run beside others."""
        self._alone = False
        """True while a run is alone, or waits for the running batches."""

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Run the block beside other batches. Blocks while a run is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._beside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the block while no other batch runs. Blocks until they have ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._beside)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
