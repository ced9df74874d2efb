"""Cancel a batch while it runs."""

import threading
from collections.abc import Callable


class CancelToken:
    """Thread-safe cancellation token for one running batch.

    The event loop calls `cancel`, the lane that runs the batch calls `on_cancel`, in either order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callback: Callable[[], None] | None = None
        self.cancelled = False
        """True once no request needs the batch."""

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Register the callback that stops the batch; call it now if the token is already cancelled."""
        with self._lock:
            self._callback = callback
            cancelled = self.cancelled
        if cancelled:
            callback()

    def cancel(self) -> None:
        """Mark the batch as cancelled, and stop it if it can be stopped."""
        with self._lock:
            self.cancelled = True
            callback = self._callback
        if callback is not None:
            callback()
