"""Output of `rerank models --known`: a table, a note about the speeds, and lines of JSON."""

import json
from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from rerank_service.models.known_models import KnownModel
from rerank_service.models.known_speed import TOKENS, MeasuredSpeed, speed_class
from rerank_service.quantities import rounded

_WHOLE = 10
"""Documents per second from which a speed is shown without a fraction: it is an estimate."""
_DETAILS = ("languages", "licence", "tests", "code", "note")
"""Headings of a wide table, beside name and numbers."""
_MILLION, _BILLION = 10**6, 10**9


def known_table(models: Iterable[KnownModel], speed: MeasuredSpeed | None, *, wide: bool = False) -> Table:
    """Return one row for each model. Its languages, licence and notes are below its name, or beside it with `wide`."""
    table = Table(box=box.SIMPLE)
    table.add_column("model", overflow="fold")
    for heading in ("size", "max tokens", *(["docs/s"] if speed else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in _DETAILS if wide else ():
        table.add_column(heading)
    for model in models:
        name = Text(model.name, "bold")
        details = _details(model)
        if not wide:
            facts, *others = ("; ".join(details[:3]), *filter(None, details[3:]))
            name.append("".join(f"\n  {line}" for line in (facts, *others)), "not bold dim")
        table.add_row(
            name,
            size_text(model.parameters),
            f"{model.max_tokens:,}",
            *([_speed_text(speed.estimate(model))] if speed else []),
            *(details if wide else ()),
        )
    return table


def _details(model: KnownModel) -> tuple[str, ...]:
    """Return a text for each of _DETAILS. The last ones may be empty."""
    return (
        model.languages,
        model.licence,
        "verified" if model.verified else "not verified",
        "needs --trust-remote-code" if model.trust_remote_code else "",
        model.note,
    )


def known_note(speed: MeasuredSpeed | None) -> str:
    """Return the origin of the speeds, in one line."""
    if speed is None:
        return "speeds: not measured"
    return (
        f"docs/s: estimates for passages of {TOKENS} tokens on this machine, from {speed.documents_per_second:,.0f} "
        f"docs/s of {speed.model} on {speed.engine}, measured now"
    )


def known_json(model: KnownModel, speed: MeasuredSpeed | None) -> str:
    """Return a model as a line of JSON. Speeds are null without a measurement."""
    rate = None if speed is None else speed.estimate(model)
    fields = model.model_dump(mode="json") | {
        "sources": [model.card, *model.sources],
        "documents_per_second": None if rate is None else round(rate, 2),
        "speed": None if rate is None else speed_class(rate).value,
    }
    return json.dumps(fields, ensure_ascii=False)


def size_text(parameters: int) -> str:
    """Return a number of parameters, such as `22.7M` or `1.7B`."""
    if parameters >= _BILLION:
        return f"{parameters / _BILLION:g}B"
    return f"{parameters / _MILLION:.3g}M"


def _speed_text(rate: float) -> str:
    number = f"{rate:,.0f}" if rate >= _WHOLE else rounded(rate)
    return f"{number} {speed_class(rate)}"
