"""The arguments of every command that calls a running server: which server, which key, which model."""

import argparse
import os
from dataclasses import dataclass

from rerank_service.errors import SettingsInvalid
from rerank_service.settings import read_settings
from rerank_service.tools.server_address import ADDRESS_FORMS, ServerAddress, server_address

_SERVER = "RERANK_SERVER"
API_KEY = "RERANK_API_KEY"
CLIENT_VARIABLES = (_SERVER, API_KEY)
"""Variables of client commands. `rerank serve` does not read them."""
_UNPRINTABLE = "has characters that no header can carry: only printable ASCII is allowed"
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class ChosenServer:
    """The server to call."""

    address: ServerAddress
    source: str
    """The flag or variables that chose it."""


def add_server_arguments(
    parser: argparse._ActionsContainer,
    *,
    otherwise: str = "RERANK_HOST and RERANK_GRPC_PORT, else 127.0.0.1:50051",
    served_model: bool = True,
) -> None:
    """Add --server, --api-key and --served-model. `otherwise` is what holds without --server and RERANK_SERVER."""
    parser.add_argument("--server", metavar="ADDRESS", help=f"{ADDRESS_FORMS} (default: {_SERVER}, else {otherwise})")
    parser.add_argument(
        "--api-key", metavar="KEY", help=f"a key of that server (default: {API_KEY}; a flag shows in `ps`)"
    )
    if served_model:
        parser.add_argument("--served-model", default="", metavar="NAME", help="model name there (default: its first)")


def given_server(arguments: argparse.Namespace) -> ChosenServer | None:
    """Return the server that --server or RERANK_SERVER names.

    Raises:
        SettingsInvalid: it is not an address.
    """
    if arguments.server is not None:
        return ChosenServer(server_address(arguments.server), "--server")
    if text := os.environ.get(_SERVER):
        return ChosenServer(server_address(text, source=_SERVER), _SERVER)
    return None


def chosen_server(arguments: argparse.Namespace) -> ChosenServer:
    """Return the server that is named, else the one that `rerank serve` starts with the same variables.

    Raises:
        SettingsInvalid: it is not an address.
        SettingsInvalid: a setting is wrong.
    """
    if given := given_server(arguments):
        return given
    settings = read_settings()
    if settings.grpc_port == 0:
        raise SettingsInvalid(
            "RERANK_GRPC_PORT is 0, so the system chose the port: give it with --server or RERANK_SERVER"
        )
    host = _ANY_HOST.get(settings.host, settings.host)
    bracketed = f"[{host}]" if ":" in host else host
    return ChosenServer(ServerAddress("grpc", f"{bracketed}:{settings.grpc_port}"), "RERANK_HOST, RERANK_GRPC_PORT")


def api_key(arguments: argparse.Namespace) -> str | None:
    """Return the key to send.

    Raises:
        SettingsInvalid: no header can carry it.
    """
    source = API_KEY if arguments.api_key is None else "--api-key"
    key: str | None = (os.environ.get(API_KEY) or None) if arguments.api_key is None else arguments.api_key
    if key is None:
        return None
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error
    if not key.strip() or not (key.isascii() and key.isprintable()):
        raise SettingsInvalid(f"{source} {'is empty' if not key.strip() else _UNPRINTABLE}")
    return key
