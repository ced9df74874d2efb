"""The garbage collector of a process of `rerank`.

A collection visits containers and holds the interpreter's lock. A full one takes 60 ms for the objects of the start,
and 30 ms for those of 1,200 connections (AMD Zen 3). Beside batches it takes longer, because it waits for a core.

- Imports make 180,000 containers, and almost all of them stay. So no collection runs meanwhile, which saves 9 % of the
  time of the imports, and later ones do not visit these objects.
- Calls leave little in cycles: some small objects, and no messages (tests/service/api/test_freed_calls.py). So a server
  rarely runs a full collection, and chooses a moment without a batch.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

FULL_COLLECTION_AFTER = 500
"""Collections of the middle generation before a full one, at any moment. Python's default is 10."""
QUIET_COLLECTION_AFTER = 50
"""Collections of the middle generation before a full one, at a quiet moment."""
_NEVER = 2**30


@contextmanager
def collections_paused() -> Iterator[None]:
    """Run no collection during the block, which imports modules."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def make_full_collections_rare() -> None:
    """Let full collections come after `FULL_COLLECTION_AFTER` of the middle generation."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_AFTER)


class FullCollectionPause:
    """A pause of full collections. Younger garbage is collected as usual."""

    def __init__(self) -> None:
        self._threshold = gc.get_threshold()[2]

    def begin(self) -> None:
        """Let no full collection run until the end of the pause."""
        self._set(_NEVER)

    def end(self) -> None:
        """Let full collections run as before."""
        self._set(self._threshold)

    def _set(self, threshold: int) -> None:
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, threshold)


async def collect_at_quiet_moments(is_quiet: Callable[[], bool], seconds: float = 1.0) -> NoReturn:
    """Look every second whether a full collection is due and the moment is quiet. Then run it, on the event loop."""
    while True:
        await asyncio.sleep(seconds)
        is_paused = gc.get_threshold()[2] == _NEVER
        if gc.get_count()[2] >= QUIET_COLLECTION_AFTER and not is_paused and is_quiet():
            gc.collect()


def keep_out_of_collections() -> None:
    """Let no later collection visit the objects that are alive now."""
    gc.freeze()
