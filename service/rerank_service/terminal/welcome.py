"""What the first start shows: a ranking, made through the server itself, and where to go from there."""

from rich.console import Console

from rerank.client import AsyncRerankClient
from rerank_service.server import Addresses
from rerank_service.terminal import example
from rerank_service.terminal.tables import ranking_table


async def welcome(addresses: Addresses) -> None:
    """Rank the built-in example over gRPC and print it with the addresses."""
    async with AsyncRerankClient(addresses.grpc) as client:
        response = await client.rerank(example.QUERY, example.DOCUMENTS)
    console = Console()
    console.print()
    console.print(ranking_table(example.QUERY, example.DOCUMENTS, response))
    console.print(
        f"\n[bold]gRPC[/]  {addresses.grpc}   rerank.v1.Rerank, with reflection and health"
        f"\n[bold]REST[/]  {addresses.rest}   POST /v2/rerank; try it at {addresses.rest}/docs"
        "\n\nServing until Ctrl-C.\n",
        highlight=False,
    )
