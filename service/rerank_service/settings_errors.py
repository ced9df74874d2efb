"""Error messages about settings: the flag and the variable, the value, and the allowed values."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError


def describe_errors(error: ValidationError, properties: Mapping[str, Any], secret: Collection[str]) -> str:
    """Describe every wrong setting. `properties` is the JSON schema of the settings. Values of `secret` stay hidden."""
    problems = {}
    for details in error.errors(include_url=False):
        name = str(details["loc"][0])
        # the validators in settings write complete messages
        message = details["type"] == "value_error" and str(details.get("ctx", {}).get("error", details["msg"]))
        value = "has a wrong value" if name in secret else f"is {details['input']!r}"
        problems[name] = message or f"{value}: give {allowed_values(properties.get(name, {}))}"
    return "; ".join(f"{flag(name)} or {variable(name)} {problem}" for name, problem in problems.items())


def flag(name: str) -> str:
    """Return the flag of a setting."""
    return f"--{name.replace('_', '-')}"


def setting_of(flag_text: str) -> str:
    """Return the name of the setting that a flag sets."""
    return flag_text.removeprefix("--").replace("-", "_")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"RERANK_{name.upper()}"


def wrong_value(name: str, value: object, problem: str) -> str:
    """Return the message about the value of a setting. `problem` has the fault and the next step."""
    return f"{flag(name)} or {variable(name)} is {value!r}: {problem}"


def wrong_host(host: str, problem: str, name: str = "host") -> str:
    """Return the message about one of the addresses of a setting. `problem` has the fault and the next step."""
    return f"{flag(name)} or {variable(name)} has {host!r}: {problem}"


def allowed_values(schema: Mapping[str, Any]) -> str:
    """Describe the values that the JSON schema of a setting allows."""
    form = next((variant for variant in schema.get("anyOf", ()) if variant.get("type") != "null"), schema)
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
            return "a path" if form.get("format") == "path" else "text"


def _bounds(form: Mapping[str, Any]) -> str:
    least, above, most = (form.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    start = f" above {above:g}" if above is not None else f" from {least:g}" if least is not None else ""
    if most is None:
        return f"{start} on" if least is not None else start
    return f"{start} {'and at most' if above is not None else 'to'} {int(most)}"
