"""How a batch that runs is told to end early."""

import threading
from collections.abc import Callable


class Stop:
    """Asked for on one thread, heard on another, in either order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._how: Callable[[], None] | None = None
        self.asked = False
        """Whether the batch is no longer wanted."""

    def by(self, how: Callable[[], None]) -> None:
        """Who runs the batch says how it can be stopped."""
        with self._lock:
            self._how = how
            asked = self.asked
        if asked:
            how()

    def ask(self) -> None:
        """Stop it, if it can be stopped."""
        with self._lock:
            self.asked = True
            how = self._how
        if how is not None:
            how()
