"""Arguments of all commands that call a running server: address, API key and model name."""

import argparse
import os
from dataclasses import dataclass

from rerank_service.api.address import UNIX, client_target
from rerank_service.errors import SettingsInvalid
from rerank_service.settings import read_settings
from rerank_service.tools.server_address import ADDRESS_FORMS, ServerAddress, server_address

_SERVER = "RERANK_SERVER"
API_KEY = "RERANK_API_KEY"
CLIENT_VARIABLES = (_SERVER, API_KEY)
"""Environment variables of client commands. `rerank serve` ignores them."""
_UNPRINTABLE = "has characters that are not allowed in a header: use printable ASCII only"


@dataclass(frozen=True, slots=True)
class ChosenServer:
    """The server to call, and where its address comes from."""

    address: ServerAddress
    source: str
    """The flag or variables that set the address."""


def add_server_arguments(
    parser: argparse._ActionsContainer,
    *,
    default: str = "RERANK_HOST and RERANK_GRPC_PORT, else 127.0.0.1:50051",
    served_model: bool = True,
) -> None:
    """Add --server, --api-key and --served-model. `default` describes the default of --server in its help."""
    parser.add_argument(
        "--server", metavar="ADDRESS", help=f"server to call: {ADDRESS_FORMS} (default: {_SERVER}, else {default})"
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"API key to send; prefer the variable {API_KEY}, since flags are visible in `ps` (default: {API_KEY})",
    )
    if served_model:
        parser.add_argument(
            "--served-model",
            default="",
            metavar="NAME",
            help="name of the model at the server (default: the first model of the server)",
        )


def given_server(arguments: argparse.Namespace) -> ChosenServer | None:
    """Return the server that --server or RERANK_SERVER names, or None without both.

    Raises:
        SettingsInvalid: the value is not an address.
    """
    if arguments.server is not None:
        return ChosenServer(server_address(arguments.server), "--server")
    if text := os.environ.get(_SERVER):
        return ChosenServer(server_address(text, source=_SERVER), _SERVER)
    return None


def chosen_server(arguments: argparse.Namespace) -> ChosenServer:
    """Return the given server, else the one that `rerank serve` starts with the same environment variables.

    Raises:
        SettingsInvalid: the value is not an address, a setting is wrong, or RERANK_GRPC_PORT is 0.
    """
    if given := given_server(arguments):
        return given
    settings = read_settings()
    host = settings.host[0]
    if host.startswith(UNIX):
        return ChosenServer(ServerAddress("grpc", client_target(host, 0)), "RERANK_HOST")
    if settings.grpc_port == 0:
        raise SettingsInvalid(
            "RERANK_GRPC_PORT is 0, so the system chose the port: set --server or RERANK_SERVER to the address"
        )
    return ChosenServer(ServerAddress("grpc", client_target(host, settings.grpc_port)), "RERANK_HOST, RERANK_GRPC_PORT")


def api_key(arguments: argparse.Namespace) -> str | None:
    """Return the API key to send, without white space around it, or None.

    Raises:
        SettingsInvalid: the key is empty or has characters that are not allowed in a header.
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
    return key.strip()
