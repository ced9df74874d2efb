"""Names of models, as settings, models files, manifests and calls may give them."""

MAX_NAME_CHARS = 128
"""Maximum length of a name in a setting or in a models file."""


def is_model_name(name: str, max_chars: int = MAX_NAME_CHARS) -> bool:
    """Return whether a name fits into log lines, metrics and error messages."""
    return 0 < len(name) <= max_chars and name.isprintable() and name == name.strip()
