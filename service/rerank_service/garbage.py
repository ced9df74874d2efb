"""The garbage collector of a process of `rerank`.

A collection visits containers and holds the interpreter's lock. A full one takes 60 ms for the objects of the start,
and 40 ms for those of 1,200 connections (AMD Zen 3).

- Imports make 180,000 containers, and almost all of them stay. So no collection runs meanwhile, which saves 9 % of the
  time of the imports.
- Requests leave little: a closed REST connection leaves 8 small objects in a cycle, a gRPC call 6, and a young
  collection finds most of them. So a server rarely runs a full one.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

FULL_COLLECTION_AFTER = 100
"""Collections of the middle generation before a full one. Python's default is 10. With 100, new connections leave at
most about 20 MB of garbage."""


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
