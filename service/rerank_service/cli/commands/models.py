"""`rerank models`: what a server serves."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command
from rerank_service.cli.server_arguments import add_server_arguments, api_key, chosen_server

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
    description="List the models of a running server, the default first, with their limits.",
    configure=_configure,
    run=_run,
)
