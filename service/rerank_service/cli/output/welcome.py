"""Output of a first start: a ranking by the new server, its addresses and the next steps."""

from collections.abc import Sequence

from rich.console import Console

from rerank.client import AsyncRerankClient
from rerank.errors import RerankError
from rerank_service.api.address import UNIX, local_address
from rerank_service.cli.output import example
from rerank_service.cli.output.console import output_console, print_table
from rerank_service.cli.output.tables import ranking_table
from rerank_service.edges import Addresses
from rerank_service.installation import command_name


async def welcome(addresses: Addresses, api_keys: Sequence[str] = ()) -> None:
    """Rank the built-in example over gRPC and print it with the addresses. If it fails, print
    the error: the server continues to serve."""
    console = output_console()
    if addresses.tls:
        console.print(
            f"\nThe example is ranked only without TLS: use `{command_name()} rank --tls-ca FILE`.", markup=False
        )
    else:
        await _rank_example(console, local_address(addresses.grpc[0]), next(iter(api_keys), None))
    console.print(
        f"\n[bold]gRPC[/]  {', '.join(addresses.grpc)}   rerank.v1.Rerank, with reflection and health"
        f"\n[bold]REST[/]  {', '.join(addresses.rest)}   POST /v1/rerank; {_page(addresses.rest[0])}"
        "\n\nServing until Ctrl-C.\n",
        highlight=False,
        soft_wrap=True,
    )


async def _rank_example(console: Console, target: str, api_key: str | None) -> None:
    try:
        async with AsyncRerankClient(target, api_key=api_key) as client:
            response = await client.rerank(example.QUERY, example.DOCUMENTS)
        console.print()
        print_table(console, ranking_table(example.QUERY, example.DOCUMENTS, response))
    except RerankError as error:
        console.print(f"\nThe example could not be ranked: {error.message}", markup=False)


def _page(rest: str) -> str:
    """Return where a browser shows the playground, or /docs without one. Browsers use TCP only."""
    if rest.startswith(UNIX):
        return "described at /docs"
    scheme, _, listening = rest.partition("://")
    return f"try it at {scheme}://{local_address(listening)}/ in a browser"
