"""Arguments of all commands that call a running server: address, API key and model name."""

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

from rerank_service.api.address import UNIX, client_target
from rerank_service.cli.argument_text import PathText
from rerank_service.errors import SettingsInvalid
from rerank_service.settings import Settings, read_settings
from rerank_service.tools.client_tls import ClientTls
from rerank_service.tools.server_address import ADDRESS_FORMS, ServerAddress, server_address

_SERVER = "RERANK_SERVER"
API_KEY = "RERANK_API_KEY"
_TLS = {"ca": "RERANK_TLS_CA", "cert": "RERANK_TLS_CERT", "key": "RERANK_TLS_KEY"}
"""Variables of the flags --tls-…. The last two are settings of `rerank serve` too."""
CLIENT_VARIABLES = (_SERVER, API_KEY, _TLS["ca"])
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
    """Add --server, --api-key, --tls-… and --served-model. `default` describes the default of --server in its help."""
    parser.add_argument(
        "--server", metavar="ADDRESS", help=f"server to call: {ADDRESS_FORMS} (default: {_SERVER}, else {default})"
    )
    add_connection_arguments(parser)
    if served_model:
        parser.add_argument(
            "--served-model",
            default="",
            metavar="NAME",
            help="name of the model at the server (default: the first model of the server)",
        )


def add_connection_arguments(parser: argparse._ActionsContainer) -> None:
    """Add --api-key and --tls-…."""
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"API key to send; prefer the variable {API_KEY}, since flags are visible in `ps` (default: {API_KEY})",
    )
    parser.add_argument(
        "--tls-ca",
        type=_file,
        metavar="FILE",
        help="PEM file of the authorities that may have issued the server's certificate; with it, an address without "
        f"scheme uses TLS (default: {_TLS['ca']}, else the well-known authorities)",
    )
    parser.add_argument(
        "--tls-cert",
        type=_file,
        metavar="FILE",
        help="PEM file of the client certificate, for a server with --tls-client-ca; with it, an address without "
        f"scheme uses TLS (default: {_TLS['cert']})",
    )
    parser.add_argument(
        "--tls-key",
        type=_file,
        metavar="FILE",
        help=f"PEM file of the private key of --tls-cert (default: {_TLS['key']})",
    )


def _file(text: str) -> PathText:
    """Return the path of a flag. An empty one, as of `--tls-ca "$UNSET"`, would mean a call without TLS."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: give a file, or remove the flag")
    return PathText(text)


def given_server(arguments: argparse.Namespace) -> ChosenServer | None:
    """Return the server that --server or RERANK_SERVER names, or None without both.

    Raises:
        SettingsInvalid: the value is not an address.
    """
    if arguments.server is not None:
        return ChosenServer(_with_tls(arguments, arguments.server, "--server"), "--server")
    if text := os.environ.get(_SERVER):
        return ChosenServer(_with_tls(arguments, text, _SERVER), _SERVER)
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
    address = _address_of(settings, host, settings.grpc_port, arguments)
    return ChosenServer(address, "RERANK_HOST, RERANK_GRPC_PORT")


def admin_server(arguments: argparse.Namespace) -> ChosenServer:
    """Return the address of --server, else that of the admin port of `rerank serve` with the same variables.

    Raises:
        SettingsInvalid: the value is not an address of gRPC, a setting is wrong, or there is no such port.
    """
    if arguments.server is not None:
        address = _with_tls(arguments, arguments.server, "--server")
        if address.protocol != "grpc":
            raise SettingsInvalid(f"--server is {arguments.server}, and Admin is gRPC only: give HOST:PORT")
        return ChosenServer(address, "--server")
    settings = read_settings()
    if not settings.admin_port:
        value = "unset" if settings.admin_port is None else "0"
        raise SettingsInvalid(
            f"--server is unset, and RERANK_ADMIN_PORT is {value}: give the address of the server's --admin-port, such "
            "as --server 127.0.0.1:50052"
        )
    address = _address_of(settings, settings.admin_host[0], settings.admin_port, arguments)
    return ChosenServer(address, "RERANK_ADMIN_HOST, RERANK_ADMIN_PORT")


def _address_of(settings: Settings, host: str, port: int, arguments: argparse.Namespace) -> ServerAddress:
    """Return the address of a gRPC port of the server with these settings."""
    tls = _client_tls(arguments) if settings.tls_cert or _asks_for_tls(arguments) else None
    return ServerAddress("grpc", client_target(host, port), tls)


def _with_tls(arguments: argparse.Namespace, text: str, source: str) -> ServerAddress:
    """Return the address in a text, with the files of TLS. An address without scheme uses TLS if their flags are set.

    Unix sockets have no TLS.
    """
    address = server_address(text, source=source)
    text = text.strip()
    plain = text.lower().startswith(("grpc://", "http://", "unix:", "unix-abstract:"))
    if plain and (flag := next((f"--tls-{name}" for name in _TLS if getattr(arguments, f"tls_{name}")), None)):
        raise SettingsInvalid(f"{source} is {text}, without TLS, and {flag} is set: give grpcs:// or https://")
    if plain or (address.tls is None and not _asks_for_tls(arguments)):
        return address
    return replace(address, tls=_client_tls(arguments))


def _asks_for_tls(arguments: argparse.Namespace) -> bool:
    """Return True if a flag --tls-… or RERANK_TLS_CA is set: an address without scheme uses TLS then.

    The other variables are settings of `rerank serve`, too, so they do not decide.
    """
    return any(getattr(arguments, f"tls_{name}") for name in _TLS) or bool(os.environ.get(_TLS["ca"]))


def _client_tls(arguments: argparse.Namespace) -> ClientTls:
    """Return the files of TLS, from flags and else from variables."""
    sources, paths = {}, {}
    for name, variable in _TLS.items():
        given = getattr(arguments, f"tls_{name}")
        sources[name] = variable if given is None else f"--tls-{name}"
        text = os.environ.get(variable) if given is None else given
        paths[name] = Path(text) if text else None
    tls = ClientTls(**paths)
    tls.check(**sources)
    return tls


def api_key(arguments: argparse.Namespace) -> str | None:
    """Return the API key to send, without white space around it, or None.

    Raises:
        SettingsInvalid: the key is empty or has characters that are not allowed in a header.
    """
    source = API_KEY if arguments.api_key is None else "--api-key"
    given: str | None = (os.environ.get(API_KEY) or None) if arguments.api_key is None else arguments.api_key
    if given is None:
        return None
    key = given.strip()  # a key from a file ends with a line break
    if not key or not (key.isascii() and key.isprintable()):
        raise SettingsInvalid(f"{source} {_UNPRINTABLE if key else 'is empty'}")
    return key
