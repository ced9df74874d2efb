"""`rerank models`: what a server serves."""

import argparse

from rerank.client import DEFAULT_ADDRESS
from rerank_service.cli.commands import Command
from rerank_service.errors import SettingsInvalid


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        default=DEFAULT_ADDRESS,
        metavar="HOST:PORT",
        help="the server's gRPC address (default: %(default)s)",
    )
    parser.add_argument("--api-key", metavar="KEY", help="a key of that server")


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank.client import RerankClient
    from rerank_service.cli.output.tables import model_table

    try:
        with RerankClient(arguments.server, api_key=arguments.api_key) as client:
            models = client.models()
    except UnicodeEncodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error
    console = Console()
    for model in models:
        console.print(model_table(model))
    return 0


COMMAND = Command(
    help="list the models of a running server",
    description="List the models of a running server, the default first, with their limits.",
    configure=_configure,
    run=_run,
)
