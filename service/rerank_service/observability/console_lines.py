"""Log lines for people at a terminal: the main fields first, and no empty ones. JSON lines have all fields.

Control characters are escaped, because a caller chooses paths and names: `\x1b[2J` would clear the terminal, and a line
break would forge a line. JSON lines escape them, too.
"""

from collections.abc import MutableMapping
from typing import Any

from rerank_service.error_text import printable

_FIRST = ("call", "status", "reason", "error", "documents", "tokens", "total_ms", "model")
_OF_REQUESTS = ("protocol", "dialect")
"""Fields that follow from `call` for a reader."""
_USUAL_METHOD = "POST"
_OF_SEVERAL_LINES = ("exception", "stack")


def for_people(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the fields of a line in the order of a reader. For structlog, as a processor before its renderer."""
    left_out = {name for name, value in line.items() if value == ""}
    if "call" in line:
        left_out.update(_OF_REQUESTS)
        if line.get("method") == _USUAL_METHOD:
            left_out.add("method")
    last = ("request_id",)
    names = [name for name in (*_FIRST, *line) if name in line and name not in left_out and name not in last]
    ordered = (*dict.fromkeys(names), *(name for name in last if name in line))
    return {name: line[name] if name in _OF_SEVERAL_LINES else _visible(line[name]) for name in ordered}


def _visible(value: object) -> object:
    """Return a text with its control characters escaped. Other values stay as they are: the renderer shows their
    `repr`."""
    return printable(value) if isinstance(value, str) else value
