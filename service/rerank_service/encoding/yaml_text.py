"""Block YAML of the lists and objects in a document. It is written in pieces, so that the work can be stopped.

libyaml writes a piece. The text is that of libyaml for the whole value, except that characters beyond the basic plane,
such as emoji, are kept: libyaml would escape them.
"""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import yaml

from rerank_service.scheduling.stoppable import check_stopped

MAX_PIECE = 2_000
"""Maximum weight of a piece: a value weighs 1, and a string 1 more for each 64 characters. It takes 15 ms."""
_CHARS = 64
_UNLIMITED = 2**31 - 1  # the widest line that libyaml accepts
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # with libyaml, if PyYAML has it: 10 times as fast
_NUMBERS = (int, float, bool, type(None))
_LINE = re.compile("(?:^|(?<=[\n\x85\u2028\u2029]))(?=[^\n\x85\u2028\u2029])")
"""The start of each line that is not empty. The breaks are those of YAML 1.1."""
_NULL = " null\n"
_ESCAPED = re.compile(r"\\U([0-9A-F]{8})")
_PRIVATE = range(0xE000, 0xF900)
"""Characters for private use. libyaml writes them as they are."""

Container = dict[str, Any] | list[Any]


def yaml_text(value: Container, max_piece: int = MAX_PIECE) -> str:
    """Return block YAML of unlimited width that keeps Unicode characters, without the last line end.

    Raises:
        CallStopped: the request has ended meanwhile.
    """
    return "".join(_pieces(value, "", max_piece)).rstrip("\n") if value else _dump(value, _Dumper).rstrip("\n")


def _pieces(value: Container, indent: str, most: int) -> Iterator[str]:
    """Yield the lines of a value that is not empty, in pieces. Each line starts with the indent."""
    small, weight = type(value)(), 0
    for key, part in _items(value):
        part_weight = _weight(part, most)
        if small and weight + part_weight > most:
            yield _piece(small, indent)
            small, weight = type(value)(), 0
        if part_weight > most and isinstance(part, dict | list):
            yield from _nested(key, part, indent, most)
        else:
            _add(small, key, part)
            weight += part_weight
    if small:
        yield _piece(small, indent)


def _items(value: Container) -> Iterable[tuple[Any, Any]]:
    """Return the keys and values of an object, or the values of a list with the key None."""
    return value.items() if isinstance(value, dict) else ((None, part) for part in value)


def _add(container: Container, key: Any, part: Any) -> None:
    if isinstance(container, dict):
        container[key] = part
    else:
        container.append(part)


def _weight(value: Any, most: int) -> int:
    """Return the weight of a value, or any number above `most` if it is heavier."""
    if isinstance(value, str):
        return 1 + len(value) // _CHARS
    if not isinstance(value, dict | list):
        return 1
    weight = 1
    for key, part in _items(value):
        weight += _weight(part, most - weight) + (key is not None)
        if weight > most:
            break
    return weight


def _nested(key: str | None, value: Container, indent: str, most: int) -> Iterator[str]:
    """Yield the lines of a large value in a list, or in an object under its key."""
    before, deeper = indent + "- ", indent + "  "
    if key is not None:
        name = _dumped({key: None}).removesuffix(_NULL)  # `key:`, or `? key` and a line with `:`
        if "\n" not in name:
            yield f"{indent}{name}\n"
            yield from _pieces(value, deeper if isinstance(value, dict) else indent, most)
            return
        before = _indented(name, indent) + " "
    first = True
    for piece in _pieces(value, deeper, most):
        yield before + piece.removeprefix(deeper) if first else piece
        first = False


def _piece(value: Container, indent: str) -> str:
    check_stopped()
    if isinstance(value, list) and all(type(part) in _NUMBERS for part in value):
        return "".join(f"{indent}- {_number(part)}\n" for part in value)
    return _indented(_dumped(value), indent)


def _number(value: float | None) -> str:
    """Return a number, a boolean or null, as PyYAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e", 1)


def _indented(text: str, indent: str) -> str:
    return _LINE.sub(indent, text) if indent else text


def _dumped(value: Container) -> str:
    text = _dump(value, _Dumper)
    codes = {int(code, 16) for code in _ESCAPED.findall(text)}
    if not codes:
        return text
    present = set(text)  # a search for each private character would take longer than all the rest
    free = list(islice((code for code in _PRIVATE if chr(code) not in present), len(codes)))
    if len(codes) > len(free):
        return _dump(value, yaml.SafeDumper)  # does not escape these characters, and is slow
    replaced = dict(zip(codes, free, strict=True))
    text = _dump(_translated(value, replaced), _Dumper)
    return text.translate({private: code for code, private in replaced.items()})


def _translated(value: Any, table: dict[int, int]) -> Any:
    """Return a value with other characters in its strings and keys."""
    if isinstance(value, str):
        return value.translate(table)
    if isinstance(value, list):
        return [_translated(part, table) for part in value]
    if isinstance(value, dict):
        return {key.translate(table): _translated(part, table) for key, part in value.items()}
    return value


def _dump(value: Container, dumper: Any) -> str:
    return str(yaml.dump(value, Dumper=dumper, width=_UNLIMITED, allow_unicode=True, sort_keys=False))
