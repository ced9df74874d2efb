"""Print docs/settings.md from the settings themselves: `make docs`."""

from pydantic.fields import FieldInfo

from rerank_service.settings import Settings


def page() -> str:
    """A table with a row for each setting."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(
        (
            "# Settings",
            "",
            "Of `rerank serve`. Made from `service/rerank_service/settings.py` by `make docs`; a flag wins over its",
            "variable. Switches have a `--no-…` form; lists are separated by commas.",
            "",
            "| flag | variable | default | what it does |",
            "|---|---|---|---|",
            *rows,
        )
    )


def _row(name: str, field: FieldInfo) -> str:
    default = "none" if field.default in (None, ()) else f"`{str(field.default).lower()}`"
    help_line = " ".join((field.description or "").split())
    return f"| `--{name.replace('_', '-')}` | `RERANK_{name.upper()}` | {default} | {help_line} |"


if __name__ == "__main__":
    print(page())
