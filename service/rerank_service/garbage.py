"""The garbage collector of a process of `rerank`.

A collection visits containers and holds the interpreter's lock. A full one takes 60 ms for the objects of the start,
and 40 ms for those of 1,200 connections (AMD Zen 3).

- Imports make 180,000 containers, and almost all of them stay. So no collection runs meanwhile, which saves 9 % of the
  time of the imports, and later ones do not visit these objects.
- Calls leave little in cycles: some small objects, and no messages (tests/service/api/test_freed_calls.py). So a server
  rarely runs a full collection.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

FULL_COLLECTION_AFTER = 100
"""Collections of the middle generation before a full one. Python's default is 10."""


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


def keep_out_of_collections() -> None:
    """Let no later collection visit the objects that are alive now."""
    gc.freeze()
