"""The garbage collector of a server process.

A full collection visits all containers and holds the interpreter's lock: 60 ms for the objects of the start, and 40 ms
for those of 1,200 connections (AMD Zen 3). Garbage rarely needs one: a closed REST connection leaves 8 small objects in
a cycle, a gRPC call 6, and a young collection finds most of them.
"""

import gc

FULL_COLLECTION_AFTER = 100
"""Collections of the middle generation before a full one. Python's default is 10. With 100, new connections leave at
most about 20 MB of garbage."""


def make_full_collections_rare() -> None:
    """Let full collections come after `FULL_COLLECTION_AFTER` of the middle generation."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_COLLECTION_AFTER)


def keep_out_of_collections() -> None:
    """Let no later collection visit the objects that are alive now."""
    gc.freeze()
