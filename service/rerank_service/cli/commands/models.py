"""`rerank models`: list the models of a server."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rerank.v1 import rerank_pb2 as pb


def _configure(parser: argparse.ArgumentParser) -> None:
    add_server_arguments(parser, served_model=False)


async def _models(arguments: argparse.Namespace) -> "Sequence[pb.Model]":
    from rerank_service.tools.rest_client import client_of

    async with client_of(chosen_server(arguments).address, api_key=api_key(arguments)) as client:
        return await client.models()


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_service.cli.output.tables import model_table

    models = asyncio.run(_models(arguments))
    console = Console()
    for model in models:
        console.print(model_table(model))
    return 0


COMMAND = Command(
    help="list the models of a running server",
    description="List the models of a running server with their names, engine and limits. The first is the default.",
    examples=(
        ("a server on this machine", f"{command_name()} models"),
        ("another server, over REST", f"{command_name()} models --server http://10.0.0.7:8080"),
    ),
    configure=_configure,
    run=_run,
)
