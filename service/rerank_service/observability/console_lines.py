"""Log lines for people at a terminal: the main fields first, and no empty ones. JSON lines have all fields."""

from collections.abc import MutableMapping
from typing import Any

_FIRST = ("call", "status", "reason", "error", "documents", "tokens", "total_ms", "model")
_OF_REQUESTS = ("protocol", "dialect")
"""Fields that follow from `call` for a reader."""
_USUAL_METHOD = "POST"


def for_people(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the fields of a line in the order of a reader. For structlog, as a processor before its renderer."""
    left_out = {name for name, value in line.items() if value == ""}
    if "call" in line:
        left_out.update(_OF_REQUESTS)
        if line.get("method") == _USUAL_METHOD:
            left_out.add("method")
    last = ("request_id",)
    names = [name for name in (*_FIRST, *line) if name in line and name not in left_out and name not in last]
    return {name: line[name] for name in (*dict.fromkeys(names), *(name for name in last if name in line))}
