"""Print docs/settings.md, generated from the settings: `make docs`."""

from rerank_service.cli.settings_help import default_text, groups
from rerank_service.settings import Settings
from rerank_service.tools.server_address import ADDRESS_FORMS

_INTRODUCTION = """# Settings

Settings of `rerank serve`. This page is generated from `service/rerank_service/settings/` by `make docs`.

- Every setting is a flag and an environment variable. A flag overrides its variable.
- Switches have a `--no-…` form: `--no-hosted-names`. Their variables take `true` and `false`.
- Lists are separated by commas.
- An empty variable is unset, with one exception: with an empty `RERANK_API_KEYS`, `RERANK_API_KEYS_FILE` or
  `RERANK_TLS_…`, the server does not start, because an empty value must not switch the protection off.
- A mistake ends the start with exit status 2 and one line: the setting, its value and the next step. This includes a
  model that cannot be served, a port in use, and a file that cannot be read.
- A variable that begins with `RERANK_` and is no setting causes a warning in the log, and `rerank doctor` reports it.
  Those that Kubernetes adds to the pods of a Service named `rerank`, such as `RERANK_SERVICE_HOST`, cause neither.
"""
_TABLE_HEAD = "| flag | variable | default | description |\n|---|---|---|---|"
_CLIENT_COMMANDS = f"""## Client commands

`rerank rank`, `models` and `bench` call a running server; `eval` and `batch` do so with `--server` or `RERANK_SERVER`.
`rerank serve` ignores `RERANK_SERVER` and `RERANK_TLS_CA`. It reads `RERANK_TLS_CERT` and `RERANK_TLS_KEY` as its own
certificate, so prefer the flags for a client certificate.

{_TABLE_HEAD}
| `--server` | `RERANK_SERVER` | `RERANK_HOST` and `RERANK_GRPC_PORT`, else `127.0.0.1:50051`; `eval` and `batch`: no \
server, the model runs in the process of the command | Server to call: {ADDRESS_FORMS}. |
| `--api-key` | `RERANK_API_KEY` | none | API key to send. Prefer the variable, since flags are visible in `ps`. |
| `--tls-ca` | `RERANK_TLS_CA` | the well-known authorities | PEM file of the authorities that may have issued \
the server's certificate. With it, an address without scheme uses TLS. |
| `--tls-cert` | `RERANK_TLS_CERT` | none | PEM file of the client certificate, for a server with `--tls-client-ca`. |
| `--tls-key` | `RERANK_TLS_KEY` | none | PEM file of the private key of `--tls-cert`. |
| `--served-model` | | the first model of the server | Name of the model at the server. |"""


def page() -> str:
    """Return the page: a table for each group of settings, and one for the client commands."""
    tables = ["\n".join((f"## {heading}\n", _TABLE_HEAD, *map(_row, names), "")) for heading, names in groups().items()]
    return "\n".join((_INTRODUCTION, *tables, _CLIENT_COMMANDS))


def _row(name: str) -> str:
    default = default_text(name)
    shown = f"`{default}`" if default else "none"
    description = " ".join((Settings.model_fields[name].description or "").split())
    return f"| `--{name.replace('_', '-')}` | `RERANK_{name.upper()}` | {shown} | {description} |"


if __name__ == "__main__":
    print(page())
