"""Rankings as tables."""

from collections.abc import Sequence

from rich.table import Table

from rerank.v1 import rerank_pb2 as pb


def ranking_table(query: str, documents: Sequence[str], response: pb.RerankResponse) -> Table:
    """One row a result: its rank, its score, its place in the request, its text."""
    table = Table(
        title=query, title_justify="left", title_style="bold", caption=_caption(response), caption_justify="left"
    )
    table.add_column("rank", justify="right")
    table.add_column("relevance", justify="right", style="green")
    table.add_column("index", justify="right")
    table.add_column("document")
    for place, result in enumerate(response.results, 1):
        table.add_row(
            str(place),
            f"{result.relevance_score:.4f}",
            str(result.index),
            documents[result.index] + (" [dim](cut)[/]" if result.truncated else ""),
        )
    return table


def _caption(response: pb.RerankResponse) -> str:
    took = response.timing.total.ToTimedelta().total_seconds() * 1000
    return f"{response.model}: {response.usage.pairs} documents, {response.usage.prompt_tokens} tokens, {took:.0f} ms"
