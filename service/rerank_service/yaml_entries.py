"""A YAML or JSON file with a list of entries: its values, and the lines of entries and fields."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast loader, if PyYAML has it. Requests wait while a changed file is read."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""The escape of a half of a character beyond 16 bits. JSON allows it, YAML does not."""
_MAX_DEPTH = 100

_Lines = Sequence[tuple[int, Sequence[tuple[str, int]]]]


@dataclass(frozen=True, slots=True)
class Entries:
    """The content of a file."""

    values: Any
    """The parsed content. It may have any form."""
    _lines: _Lines
    """Line of each entry, with the names and lines of its fields in their order."""

    def line(self, entry: int, field: object = None) -> int:
        """Return the line of a field, from 1. A field that the entry does not have, or None: the line of the entry."""
        start, fields = self._lines[entry]
        return next((line for name, line in fields if name == field), start)

    def duplicates(self) -> Iterator[tuple[int, str, int]]:
        """Yield each field that an entry has again: number of the entry from 0, name of the field, and line.

        YAML and JSON would silently use the last one.
        """
        for number, (_, fields) in enumerate(self._lines):
            seen: set[str] = set()
            for name, line in fields:
                if name in seen:
                    yield number, name, line
                seen.add(name)


def read_entries(content: bytes) -> Entries:
    """Parse JSON, else YAML.

    Raises:
        yaml.YAMLError: the content is neither. `problem_mark` has the place of the fault, if it is known.
        ValueError: a date does not exist, a value does not fit its tag, or the content has too many levels.
    """
    try:
        values = orjson.loads(content)
    except orjson.JSONDecodeError:
        lines, values = _yaml(content, with_values=True)
    else:
        # YAML has all of JSON but tabs, which valid JSON has between its tokens only, and escapes of surrogates
        text = _SURROGATE.sub(rb"\\u003f", content.replace(b"\t", b" "))
        lines, _ = _yaml(text, with_values=False)
    return Entries(values, lines)


def syntax_problem(error: yaml.YAMLError | ValueError) -> str:
    """Describe an error of `read_entries`. The description does not quote the content."""
    mark = getattr(error, "problem_mark", None)
    return f"is neither YAML nor JSON{f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''}"


def _yaml(content: bytes, *, with_values: bool) -> tuple[_Lines, Any]:
    _check_depth(content)
    loader = _LOADER(content)
    try:
        node = loader.get_single_node()
        lines = list(_lines(node))  # before the values: they add the fields of `<<` to the nodes
        return lines, loader.construct_document(node) if node is not None and with_values else None
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
        raise ValueError("a value does not fit its tag") from error  # PyYAML does not check those of tags
    finally:
        loader.dispose()


def _check_depth(content: bytes) -> None:
    """Check the number of levels. The loader calls itself for each level, and would end the process."""
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels")


def _lines(node: yaml.Node | None) -> Iterator[tuple[int, Sequence[tuple[str, int]]]]:
    for entry in node.value if isinstance(node, yaml.SequenceNode) else ():
        fields = entry.value if isinstance(entry, yaml.MappingNode) else ()
        yield _line(entry), [(str(key.value), _line(key)) for key, _ in fields]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
