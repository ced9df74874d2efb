"""Split documents into parts. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def parts_of(items: Iterable[T], chars: Callable[[T], int], *, max_items: int, max_chars: int) -> Iterator[list[T]]:
    """Yield the items in parts, each small enough for one step of work.

    `chars` returns the characters of an item. An item with more than `max_chars` characters is a part of its own.
    """
    part: list[T] = []
    total = 0
    for item in items:
        own = chars(item)
        if part and (len(part) == max_items or total + own > max_chars):
            yield part
            part, total = [], 0
        part.append(item)
        total += own
    if part:
        yield part
