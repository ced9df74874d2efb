"""The priority of threads that compute for long: they give way to the event loop and to the tokenizer.

A batch computes for tens of milliseconds, and one more request is received in a fraction of one. With equal priorities,
the system lets a lane finish its slice of time first, and every turn of the event loop may wait for several slices
(docs/decisions/0079-lanes-give-way.md).
"""

import os
import threading
from contextlib import suppress

NICE = 5
"""Steps of the priority by which such a thread is below the process: it gets a quarter of a core that both want."""


def give_way() -> None:
    """Lower the priority of the calling thread, and of the threads that it starts.

    On Linux, each thread has a priority of its own; elsewhere, this does nothing.
    """
    with suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
