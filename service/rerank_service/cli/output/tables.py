"""Rankings and models as tables.

Rule: what others wrote is shown as it is: no markup is read in it, and no control character reaches the terminal.
"""

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from rerank.v1 import rerank_pb2 as pb
from rerank_service.quantities import counted, duration

_SHOWN = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)), "\ufffd") | dict.fromkeys(
    map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"), " "
)
"""Spaces for what moves to another line or column, and a replacement for all else that is not to be printed."""
_DIGITS = 12
"""Of a digest: enough to tell models apart."""


def ranking_table(query: str, documents: Sequence[str], response: pb.RerankResponse) -> Table:
    """One row a result: its rank, its score, its place in the request, its text; of a long one the best window."""
    table = Table(
        title=_text(query, "bold"),
        title_justify="left",
        caption=_text(_caption(len(documents), response), "table.caption"),
        caption_justify="left",
    )
    table.add_column("rank", justify="right")
    table.add_column("relevance", justify="right", style="green")
    table.add_column("index", justify="right")
    table.add_column("document", overflow="fold")
    for place, result in enumerate(response.results, 1):
        cut = Text(" (cut)" if result.truncated else "", "dim")
        table.add_row(
            str(place),
            f"{result.relevance_score:.4f}",
            str(result.index),
            _passage(documents[result.index], result) + cut,
        )
    return table


def model_table(model: pb.Model) -> Table:
    """One row a field."""
    table = Table("field", Column("value", overflow="fold"))
    rows = {
        "name": model.name,
        "aliases": ", ".join(model.aliases),
        "source": model.source,
        "revision": model.revision,
        "digest": model.digest[:_DIGITS],
        "precision": model.precision,
        "provider": model.provider,
        "why": model.choice,
        "calibration": model.calibration or "none",
        "export": model.verdict,
        "tokens a pair": f"{model.max_tokens:,}",
        "documents": f"{model.max_documents:,}",
        "documents in a stream": f"{model.max_stream_documents:,}",
        "ready": "yes" if model.ready else "no",
    }
    for field, value in rows.items():
        table.add_row(field, _text(value))
    return table


def shown(text: str) -> str:
    """A text without what moves a terminal."""
    return text.translate(_SHOWN)


def _text(text: str, style: str = "") -> Text:
    return Text(shown(text), style)


def _passage(document: str, result: pb.Result) -> Text:
    if not result.HasField("best_window"):
        return _text(document)
    start, end = result.best_window.start, result.best_window.end
    return _text(document[start:end]) + Text(f" (characters {start:,} to {end:,})", "dim")


def _caption(documents: int, response: pb.RerankResponse) -> str:
    took = response.timing.total.ToTimedelta().total_seconds()
    windows = f", {counted(response.usage.windows, 'window')}" if response.usage.windows > documents else ""
    tokens = counted(response.usage.prompt_tokens, "token")
    return f"{response.model}: {counted(documents, 'document')}{windows}, {tokens}, {duration(took)}"
