"""Large parsed bodies: free their memory in steps, and keep the garbage collector from scanning them.

Both hold the interpreter's lock, so a thread would not help. Freeing four million lists takes 0.1 s, and a full
collection visits each live container: 0.04 s for 10,000 objects that are nested 24 levels deep.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rerank_service.garbage import FullCollectionPause
from rerank_service.long_work import in_background

_STEP_ITEMS = 5_000
"""Number of values freed in one step; it takes about 1 ms."""
_MAX_IN_A_ROW = 100
"""Number of large bodies after which a full collection may run, even if others are live."""


class LargeBodies:
    """The live bodies that were parsed in parts. Used on the event loop only."""

    def __init__(self) -> None:
        self._live = 0
        self._in_a_row = 0
        self._full_collections = FullCollectionPause()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Let no full collection run during the block. Younger garbage is collected as usual."""
        self._pause()
        try:
            yield
        finally:
            self._live -= 1
            if not self._live:
                self._resume()

    def free(self, body: Mapping[str, Any]) -> None:
        """Free a body that nobody uses any more, in steps."""
        in_background(freed([list(body.values())]))

    def _pause(self) -> None:
        self._live += 1
        self._in_a_row += 1
        if self._in_a_row > _MAX_IN_A_ROW:
            self._resume()
        else:
            self._full_collections.begin()

    def _resume(self) -> None:
        self._in_a_row = 0
        self._full_collections.end()


def freed(waiting: list[Any]) -> Generator[None, None, None]:
    """Free lists and dicts with all that is in them. `waiting` must hold the last references.

    They are not changed: a value that is still in use elsewhere stays complete.
    """
    count = 0
    while waiting:
        container = waiting.pop()
        items = container if isinstance(container, list) else [*container, *container.values()]
        if len(items) > _STEP_ITEMS:
            waiting += (items[start : start + _STEP_ITEMS] for start in range(0, len(items), _STEP_ITEMS))
        else:
            waiting += (item for item in items if isinstance(item, list | dict))
            count += len(items)
        del container, items
        if count >= _STEP_ITEMS:
            count = 0
            yield
