"""Print docs/settings.md from the settings themselves: `make docs`."""

from pydantic.fields import FieldInfo

from rerank_service.settings import Settings
from rerank_service.tools.server_address import FORMS

_NO_SERVER = "`RERANK_HOST` and `RERANK_GRPC_PORT`, else `127.0.0.1:50051`; `eval`: a model in its own process"


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
            "An empty variable counts as unset, except for keys: an empty `RERANK_API_KEYS` or `RERANK_API_KEYS_FILE`",
            "ends the start, since it would switch keys off.",
            "",
            "| flag | variable | default | what it does |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Client commands",
            "",
            "`rerank rank`, `models`, `bench` and `eval` call a running server. `rerank serve` ignores these",
            "variables.",
            "",
            "| flag | variable | default | what it does |",
            "|---|---|---|---|",
            f"| `--server` | `RERANK_SERVER` | {_NO_SERVER} | The server to call: {FORMS}. |",
            "| `--api-key` | `RERANK_API_KEY` | none | Key to send. A flag shows in `ps`, a variable does not. |",
            "| `--served-model` | | the server's first | Name of the model at the server. |",
        )
    )


def _row(name: str, field: FieldInfo) -> str:
    default = "none" if field.default in (None, ()) else f"`{str(field.default).lower()}`"
    help_line = " ".join((field.description or "").split())
    return f"| `--{name.replace('_', '-')}` | `RERANK_{name.upper()}` | {default} | {help_line} |"


if __name__ == "__main__":
    print(page())
