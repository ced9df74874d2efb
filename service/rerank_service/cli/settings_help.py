"""Settings as help: their groups and defaults, for `rerank serve --help` and docs/settings.md."""

from rerank_service.settings import Settings

_FIRST_OF_GROUP = {
    "model": "Model",
    "host": "Network and API keys",
    "provider": "Engine and batches",
    "max_documents": "Limits",
    "score_cache_bytes": "Score cache",
    "default_timeout": "Timeouts and shutdown",
    "log_format": "Log and example",
}
"""Heading of each group, by its first setting. A group continues until the next one begins."""


def groups() -> dict[str, list[str]]:
    """Return the names of all settings by the heading of their group, in the order of settings.py."""
    names: dict[str, list[str]] = {}
    heading = ""
    for name in Settings.model_fields:
        heading = _FIRST_OF_GROUP.get(name, heading)
        names.setdefault(heading, []).append(name)
    return names


def default_text(name: str) -> str:
    """Return the default of a setting as a variable takes it, or an empty string if the setting is unset."""
    default = Settings.model_fields[name].default
    if default in (None, ()):
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default).lower()
