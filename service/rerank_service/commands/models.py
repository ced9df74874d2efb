"""`rerank models`: what a server serves."""

import argparse

from rerank.client import DEFAULT_ADDRESS
from rerank_service.commands import Command


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
    from rich.table import Table

    from rerank.client import RerankClient

    with RerankClient(arguments.server, api_key=arguments.api_key) as client:
        models = client.models()
    table = Table("name", "aliases", "source", "precision", "provider", "tokens a pair", "documents", "digest")
    for model in models:
        table.add_row(
            model.name,
            ", ".join(model.aliases),
            model.source,
            model.precision,
            model.provider,
            str(model.max_tokens),
            str(model.max_documents),
            model.digest[:12],
        )
    Console().print(table)
    return 0


COMMAND = Command(
    help="list the models of a running server",
    description="List the models of a running server, the default first, with their limits.",
    configure=_configure,
    run=_run,
)
