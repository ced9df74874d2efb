"""A pool whose threads all run before its first call.

`ThreadPoolExecutor` starts a thread when a call finds no free one. While the process has no memory for another thread,
or has reached its limit of threads, that call fails although others could have run it.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

from rerank_service.errors import OperatorError
from rerank_service.quantities import counted


class ThreadsMissing(OperatorError):
    """The system starts fewer threads than the server needs."""

    def __init__(self, found: str) -> None:
        """`found` says which threads there are."""
        super().__init__(f"{found}: raise the limit of processes (ulimit -u; pids of a container) or free memory")


def started_threads(number: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of running threads. `name` is the prefix of their names.

    Raises:
        ThreadsMissing: the system starts fewer threads.
    """
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    all_run = threading.Barrier(number)
    starts: list[Future[int]] = []
    try:
        for _ in range(number):
            starts.append(pool.submit(all_run.wait))  # noqa: PERF401 - after an error, the list has those that started
    except RuntimeError as error:
        all_run.abort()
        pool.shutdown()
        found = f"the system started {len(starts)} of {counted(number, 'thread')} for {name} ({error})"
        raise ThreadsMissing(found) from error
    wait(starts)
    return pool
