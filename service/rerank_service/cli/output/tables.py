"""Tables of rankings and models.

Rule: text of queries, documents and servers is printed literally. Markup in it has no effect, and control characters
are replaced.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from rerank.v1 import rerank_pb2 as pb
from rerank_service.quantities import counted, duration

_REPLACEMENTS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)), "\ufffd") | dict.fromkeys(
    map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"), " "
)
"""Replacements of control characters: a space for those that move to another line or column, U+FFFD for others."""

_DIGEST_DIGITS = 12
"""Number of digits of a short digest."""


def ranking_table(
    query: str, documents: Sequence[str], response: pb.RerankResponse, ids: Sequence[str | None] = ()
) -> Table:
    """Return one row for each result: rank, score, index, id if there are ids, and the document or its best window."""
    table = Table(
        title=_text(query, "bold") + _cut(response.query_truncated),
        title_justify="left",
        caption=_text(_caption(len(documents), response), "table.caption"),
        caption_justify="left",
    )
    table.add_column("rank", justify="right")
    table.add_column("relevance", justify="right", style="green")
    table.add_column("index", justify="right")
    has_ids = any(id_ is not None for id_ in ids)
    if has_ids:
        table.add_column("id", overflow="fold")
    table.add_column("document", overflow="fold")
    for rank, result in enumerate(response.results, 1):
        table.add_row(
            str(rank),
            f"{result.relevance_score:.4f}",
            str(result.index),
            *([_text(ids[result.index] or "")] if has_ids else []),
            _document_text(documents[result.index], result) + _cut(result.truncated),
        )
    return table


def _cut(truncated: bool) -> Text:
    return Text(" (cut)" if truncated else "", "dim")


def model_table(model: pb.Model, *, wide: bool = False) -> Table:
    """Return one row for each field of a model that is known. Digest and reasons are complete with `wide` only."""
    table = Table("field", Column("value", overflow="fold"))
    rows = {
        "name": model.name,
        "aliases": ", ".join(model.aliases),
        "source": model.source,
        "revision": model.revision,
        "digest": model.digest if wide else short_digest(model.digest),
        "precision": model.precision,
        "provider": model.provider,
        "why": model.choice if wide else _own_reason(model.choice),
        "calibration": model.calibration or "none",
        "export": model.verdict,
        "tokens a pair": f"{model.max_tokens:,}",
        "documents": f"{model.max_documents:,}" if model.max_documents else "",  # REST does not say it
        "documents in a stream": f"{model.max_stream_documents:,}" if model.max_stream_documents else "",
        "state": state_name(pb.ModelState.Name, model.state) if model.state else "",
        "memory": f"{model.memory_bytes / 10**6:,.0f} MB" if model.HasField("memory_bytes") else "not measured",
        "ready": "yes" if model.ready else "no",
    }
    for field, value in rows.items():
        if value:
            table.add_row(field, _text(value))
    return table


def _own_reason(choice: str) -> str:
    """Return why the engine was chosen. `choice` names the other engines, too, after semicolons."""
    reason, separator, _ = choice.partition("; ")
    return f"{reason} (other engines: --wide)" if separator else reason


def model_json(model: pb.Model) -> str:
    """Return the fields of a model that are set, under their names in rerank.proto, as a line of JSON."""
    fields = {field.name: value for field, value in model.ListFields()}
    if "aliases" in fields:
        fields["aliases"] = list(model.aliases)
    if "state" in fields:
        fields["state"] = state_name(pb.ModelState.Name, model.state)
    return json.dumps(fields, ensure_ascii=False)


def state_name(name_of: Callable[[Any], str], state: int) -> str:
    """Return a state in lower case, without the name of its enum, such as `ready` for `MODEL_STATE_READY`.

    `name_of` is the function `Name` of the enum. A newer server may send a state that this version does not know.
    """
    try:
        return name_of(state).partition("_STATE_")[2].lower()
    except ValueError:
        return f"state {state}"


def printable(text: str) -> str:
    """Return a text with its control characters replaced."""
    return text.translate(_REPLACEMENTS)


def short_digest(digest: str) -> str:
    """Return the first digits of a digest, which are enough to compare."""
    return digest[:_DIGEST_DIGITS]


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def _document_text(document: str, result: pb.Result) -> Text:
    if not result.HasField("best_window"):
        return _text(document)
    start, end = result.best_window.start, result.best_window.end
    place = f"best of {result.windows:,} windows, characters {start:,} to {end:,}"
    return _text(document[start:end]) + Text(f" ({place})", "dim")


def _caption(documents: int, response: pb.RerankResponse) -> str:
    took = response.timing.total.ToTimedelta().total_seconds()
    windows = f", {counted(response.usage.windows, 'window')}" if response.usage.windows > documents else ""
    tokens = counted(response.usage.prompt_tokens, "token")
    return f"{response.model}: {counted(documents, 'document')}{windows}, {tokens}, {duration(took)}"
