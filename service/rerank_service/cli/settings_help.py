"""Settings as help: their groups and defaults, for `rerank serve --help` and docs/settings.md."""

from rerank_service.settings import GROUPS, Settings


def groups() -> dict[str, list[str]]:
    """Return the names of all settings by the heading of their group, in the order of the groups."""
    return {group.heading: list(group.model_fields) for group in GROUPS}


def default_text(name: str) -> str:
    """Return the default of a setting as a variable takes it, or an empty string if the setting is unset."""
    default = Settings.model_fields[name].default
    if default in (None, ()):
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default).lower()
