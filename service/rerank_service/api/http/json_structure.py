"""Find the commas of a JSON text without building its values. Releases the interpreter's lock, so it runs in a thread.

The method is the first stage of simdjson (Langdale and Lemire, 2019), with numpy: classify the bytes, remove those in
strings, and count the brackets. The text need not be valid: the parser of the parts between commas finds the errors.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1024 * 1024
_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA = range(1, 6)
MAX_DEPTH = 1_024
"""Maximum number of levels, as in orjson."""


def _classes() -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for characters, number in (('"', _QUOTE), ("\\", _BACKSLASH), ("{[", _OPEN), ("}]", _CLOSE), (",", _COMMA)):
        table[[ord(character) for character in characters]] = number
    return table


_CLASSES = _classes()
_DEPTH_CHANGE = np.array([0, 0, 0, 1, -1, 0], np.int32)


class _Block(NamedTuple):
    """The commas outside strings in a block."""

    commas: NDArray[np.int64]
    """Positions in the block."""
    depths: NDArray[np.int16]
    too_deep: NDArray[np.int64]
    """Positions of brackets that open too many levels."""


class _State(NamedTuple):
    """The state at the end of a block."""

    depth: int = 0
    in_string: int = 0
    """1 within a string, else 0."""
    escaping: int = 0
    """1 if the next byte is escaped, else 0."""


@dataclass(frozen=True, slots=True)
class Commas:
    """The commas outside strings."""

    by_depth: tuple[NDArray[np.int64], ...]
    """Ascending positions of commas, for each depth: 1 for those between the members of the outermost container."""
    too_deep: int | None
    """Position of the first bracket that opens more than MAX_DEPTH levels; None if there is none."""

    def between(self, start: int, end: int, depth: int) -> NDArray[np.int64]:
        """Return the positions of commas of one depth, from `start` to before `end`, ascending."""
        if depth >= len(self.by_depth):
            return np.empty(0, np.int64)
        commas = self.by_depth[depth]
        first, last = np.searchsorted(commas, (start, end))
        return commas[first:last]


def find_commas(text: bytes | bytearray) -> Commas:
    """Return the commas of a JSON text that are not in strings, by depth."""
    state = _State()
    blocks = [_Block(np.empty(0, np.int64), np.empty(0, np.int16), np.empty(0, np.int64))]
    data = np.frombuffer(text, np.uint8)
    for start in range(0, len(data), _BLOCK_BYTES):
        block, state = _read_block(data[start : start + _BLOCK_BYTES], state)
        blocks.append(_Block(block.commas + start, block.depths, block.too_deep + start))
    depth = np.concatenate([block.depths for block in blocks])
    order = np.argsort(depth, kind="stable")  # a radix sort, since there are 16 bits
    ends = np.searchsorted(depth[order], np.arange(1, int(depth.max(initial=0)) + 1))
    too_deep = next((int(block.too_deep[0]) for block in blocks if len(block.too_deep)), None)
    return Commas(tuple(np.split(np.concatenate([block.commas for block in blocks])[order], ends)), too_deep)


def _read_block(block: NDArray[np.uint8], state: _State) -> tuple[_Block, _State]:
    """Return the commas of a block, and the state at its end."""
    classes = _CLASSES[block]
    escaping = _remove_escaped(classes, state.escaping)
    at = np.flatnonzero(classes)
    kinds = classes[at]
    strings = (np.cumsum(kinds == _QUOTE) + state.in_string) & 1
    outside = (strings == 0) & (kinds >= _OPEN)
    at, kinds = at[outside], kinds[outside]
    depths = np.cumsum(_DEPTH_CHANGE[kinds]) + state.depth
    after = _State(
        int(depths[-1]) if len(depths) else state.depth, int(strings[-1]) if len(strings) else state.in_string, escaping
    )
    commas = kinds == _COMMA
    too_deep = at[depths > MAX_DEPTH][:1]
    return _Block(at[commas], np.clip(depths[commas], 0, MAX_DEPTH).astype(np.int16), too_deep), after


def _remove_escaped(classes: NDArray[np.uint8], escaping: int) -> int:
    """Clear the class of escaped bytes, and return 1 if the first byte of the next block is escaped."""
    backslashes = np.flatnonzero(classes == _BACKSLASH)
    if not len(backslashes):
        classes[:escaping] = 0
        return 0
    ends_run = np.flatnonzero(np.append(np.diff(backslashes) > 1, True))
    lasts = backslashes[ends_run]
    lengths = np.diff(ends_run, prepend=-1)
    if backslashes[0] == 0:
        lengths[0] += escaping
    else:
        classes[:escaping] = 0
    escaped = lasts[lengths & 1 == 1] + 1
    classes[escaped[escaped < len(classes)]] = 0
    return int(len(escaped) > 0 and escaped[-1] == len(classes))
