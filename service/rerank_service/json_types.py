"""Names of JSON types in messages."""

from typing import Any

_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def json_type(value: Any) -> str:
    """Return the JSON type of a value, for messages: `a number`. Other types, such as `bytes`, have Python's name."""
    return _NAMES.get(type(value), type(value).__name__)
