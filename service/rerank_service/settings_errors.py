"""The message about a wrong setting: its flag and variable, its value, and the values that are allowed."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError


def sentence(error: ValidationError, properties: Mapping[str, Any], secret: Collection[str]) -> str:
    """Describe every wrong setting. `properties` is the settings' JSON schema; values of `secret` ones stay hidden."""
    found = {}
    for one in error.errors(include_url=False):
        name = str(one["loc"][0])
        # our own validators say themselves what is wrong
        own = one["type"] == "value_error" and str(one.get("ctx", {}).get("error", one["msg"]))
        shown = "has a wrong value" if name in secret else f"is {one['input']!r}"
        found[name] = own or f"{shown}: give {allowed(properties.get(name, {}))}"
    return "; ".join(f"{flag(name)} or {variable(name)} {wrong}" for name, wrong in found.items())


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"RERANK_{name.upper()}"


def allowed(schema: Mapping[str, Any]) -> str:
    """Describe the values that a setting's JSON schema allows."""
    form = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    if "enum" in form:
        *others, last = form["enum"]
        return f"{', '.join(others)} or {last}"
    if "pattern" in form:  # sizes
        return f"a number of bytes, or a size such as 64MiB, from {schema['ge']} to {schema['le']} bytes"
    match form.get("type"):
        case "integer":
            return f"a whole number{_bounds(form)}"
        case "number":
            return f"a number{_bounds(form)}"
        case "boolean":
            return "true or false"
        case "array":
            return "values separated by commas"
        case _:
            return "a path" if form.get("format") == "path" else "a text"


def _bounds(form: Mapping[str, Any]) -> str:
    least, above, most = (form.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    start = f" above {above:g}" if above is not None else f" from {least:g}" if least is not None else ""
    if most is None:
        return f"{start} on" if least is not None else start
    return f"{start} {'and at most' if above is not None else 'to'} {int(most)}"
