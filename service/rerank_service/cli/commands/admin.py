"""`rerank admin`: list, load, unload and remove the models of a running server, and switch its readiness."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command, seconds
from rerank_service.cli.help_format import examples_text
from rerank_service.cli.server_arguments import add_connection_arguments, admin_server, api_key
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rerank.admin import AdminClient
    from rerank.v1 import admin_pb2 as pb

_SERVER = "127.0.0.1:50052"


def _add_nothing(_parser: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Action:
    """An action of `rerank admin`, such as `load`."""

    help: str
    """One line for `rerank admin --help`."""
    description: str
    """One paragraph for the --help of the action."""
    run: "Callable[[AdminClient, argparse.Namespace], None]"
    examples: tuple[tuple[str, str], ...]
    """Purposes, and the words after `rerank admin`."""
    configure: Callable[[argparse.ArgumentParser], None] = _add_nothing
    """Add the positional arguments to a parser."""


def _list(client: "AdminClient", arguments: argparse.Namespace) -> None:
    from rerank_service.cli.output.bundles import bundle_json, bundles_table
    from rerank_service.cli.output.console import is_wide, output_console, print_table

    bundles = client.bundles()
    if not arguments.json:
        console = output_console()
        print_table(console, bundles_table(bundles, wide=is_wide(console)))
        return
    for bundle in bundles:
        print(json.dumps(bundle_json(bundle), ensure_ascii=False))


def _load(client: "AdminClient", arguments: argparse.Namespace) -> None:
    _print_bundle(client.load(arguments.name, arguments.folder), arguments)


def _unload(client: "AdminClient", arguments: argparse.Namespace) -> None:
    _print_bundle(client.unload(arguments.name), arguments)


def _remove(client: "AdminClient", arguments: argparse.Namespace) -> None:
    client.remove(arguments.name)
    print(json.dumps({"removed": arguments.name}) if arguments.json else f"{arguments.name} is removed")


def _print_bundle(bundle: "pb.Bundle", arguments: argparse.Namespace) -> None:
    from rerank_service.cli.output.bundles import bundle_json, bundle_line

    print(json.dumps(bundle_json(bundle), ensure_ascii=False) if arguments.json else bundle_line(bundle))


def _ready(client: "AdminClient", arguments: argparse.Namespace) -> None:
    client.set_readiness(ready=True)
    print(json.dumps({"ready": True}) if arguments.json else "readiness is on: the server is ready as its models are")


def _drain(client: "AdminClient", arguments: argparse.Namespace) -> None:
    client.set_readiness(ready=False)
    print(
        json.dumps({"ready": False})
        if arguments.json
        else f"readiness is off: load balancers send no new requests, until `{command_name()} admin ready`"
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the model; not an alias")


def _add_name_and_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the model; with FOLDER, it may be a new name")
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        help="folder at the server: an absolute path, or a path in its --bundles-root (default: the folder of the "
        "model, which is read again)",
    )


_ACTIONS = {
    "list": _Action(
        help="list the models and the bundles of the server",
        description="List all models with their states, and the bundles in --bundles-root of the server that no model "
        "uses.",
        run=_list,
        examples=(
            ("the models of a server on this machine", f"list --server {_SERVER}"),
            ("as lines of JSON, with TLS", "list --json --server grpcs://rerank.example.com:50052 --tls-ca ca.crt"),
        ),
    ),
    "load": _Action(
        help="load a model, or change it to a new version",
        description="Load a model and wait until it takes requests. A model that serves changes to the new version "
        "without losing a request. A failed load prints the reason, and changes nothing at the server.",
        run=_load,
        examples=(
            ("the new version of a model in another folder", f"load docs docs-2026-11 --server {_SERVER}"),
            (
                "a model whose folder has changed; wait at most 10 minutes",
                f"load docs --timeout 600 --server {_SERVER}",
            ),
        ),
        configure=_add_name_and_folder,
    ),
    "unload": _Action(
        help="unload a model and free its memory",
        description="Finish the accepted requests of a model, and free its memory. A model that is loaded on demand is "
        "loaded again by its next request.",
        run=_unload,
        examples=(
            ("a model", f"unload docs --server {_SERVER}"),
            ("print its new state as JSON", f"unload docs --json --server {_SERVER}"),
        ),
        configure=_add_name,
    ),
    "remove": _Action(
        help="remove a model that `load` has added",
        description="Finish the accepted requests of a model that `rerank admin load` has added, free its memory, and "
        "make its name free. Models of --model and of the models file are removed there.",
        run=_remove,
        examples=(
            ("a model", f"remove docs-canary --server {_SERVER}"),
            ("with JSON output", f"remove docs-canary --json --server {_SERVER}"),
        ),
        configure=_add_name,
    ),
    "ready": _Action(
        help="switch the readiness of the server on again",
        description="Switch the readiness on again after `drain`: the server is ready as far as its models are.",
        run=_ready,
        examples=(
            ("after maintenance", f"ready --server {_SERVER}"),
            ("wait at most 5 seconds", f"ready --timeout 5 --server {_SERVER}"),
        ),
    ),
    "drain": _Action(
        help="switch the readiness of the server off",
        description="Switch the readiness off, so that load balancers send no new requests. The server continues to "
        "accept requests, and does not end. `rerank admin ready`, or a restart, switches it on again.",
        run=_drain,
        examples=(
            ("before maintenance", f"drain --server {_SERVER}"),
            ("with JSON output", f"drain --json --server {_SERVER}"),
        ),
    ),
}


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, title="actions", metavar="ACTION", help="what to do")
    for name, action in _ACTIONS.items():
        examples = [(purpose, f"{command_name()} admin {words}") for purpose, words in action.examples]
        sub = actions.add_parser(name, help=action.help, description=action.description, epilog=examples_text(examples))
        action.configure(sub)
        _add_options(sub)
        sub.set_defaults(action=action, chosen_server=admin_server)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        metavar="ADDRESS",
        help="address of the server's --admin-port: HOST:PORT or (TLS) grpcs://HOST:PORT (default: RERANK_ADMIN_HOST "
        "and RERANK_ADMIN_PORT)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="seconds to wait; after them, the server continues with a load (default: until the work is finished)",
    )
    parser.add_argument("--json", action="store_true", help="print each model as a line of JSON")
    add_connection_arguments(parser)


def _run(arguments: argparse.Namespace) -> int:
    from rerank.admin import AdminClient

    address, key = admin_server(arguments).address, api_key(arguments)
    credentials = address.credentials()
    with AdminClient(address.target, api_key=key, credentials=credentials, timeout=arguments.timeout) as client:
        arguments.action.run(client, arguments)
    return 0


COMMAND = Command(
    help="load, unload and remove the models of a running server",
    description="List, load, unload and remove the models of a running server, and switch its readiness. The server "
    "needs the setting --admin-port.",
    examples=(
        ("list the models", f"{command_name()} admin list --server {_SERVER}"),
        ("change a model to a new version", f"{command_name()} admin load docs docs-2026-11 --server {_SERVER}"),
    ),
    configure=_configure,
    run=_run,
)
