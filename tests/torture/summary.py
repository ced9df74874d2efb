"""Summary of the campaign: JSON, and a table for docs/reliability.md."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from bench.markdown import table
from torture.part import Part
from torture.progress import Progress

_MARKED = re.compile(r"(<!-- torture: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SHOWN_OUTCOMES = 12


def as_json(parts: Sequence[tuple[Part, Progress]]) -> str:
    """Return everything that is known about the parts."""
    adapter = TypeAdapter(Progress)
    content = [adapter.dump_python(progress, mode="json") | {"title": part.title} for part, progress in parts]
    return json.dumps(content, indent=1) + "\n"


def as_table(parts: Sequence[tuple[Part, Progress]]) -> str:
    """Return the table: inputs, outcomes, requests beside them, growth, failures."""
    head = ("part", "inputs", "outcomes", "requests beside, all correct", "growth of the server", "failures", "command")
    return table(head, (_row(part, progress) for part, progress in parts))


def as_figures(parts: Sequence[tuple[Part, Progress]]) -> str:
    """Return a table of the other figures for each part that has some; empty without figures."""
    return "\n\n".join(_figures(part, progress.facts) for part, progress in parts if progress.facts)


def _figures(part: Part, facts: Mapping[str, float]) -> str:
    """Return the figures of a part. Those named `CASE: NAME` have a row for each case and a column for each name."""
    cases: dict[str, dict[str, float]] = {}
    for key, value in facts.items():
        case, _, name = key.rpartition(": ")
        cases.setdefault(case, {})[name] = value
    single, tables = cases.pop("", {}), []
    if single:
        tables.append(table((f"`{part.name}`", ""), ((name, _number(value)) for name, value in single.items())))
    if cases:
        names = list(dict.fromkeys(name for values in cases.values() for name in values))
        rows = ((case, *(_number(values.get(name)) for name in names)) for case, values in cases.items())
        tables.append(table((f"`{part.name}`", *names), rows))
    return "\n\n".join(tables)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.12g}"


def _row(part: Part, progress: Progress) -> tuple[str, ...]:
    common = progress.outcomes.most_common()
    shown = [f"{kind}: {count:,}" for kind, count in common[:_SHOWN_OUTCOMES]]
    if others := sum(count for _, count in common[_SHOWN_OUTCOMES:]):
        shown.append(f"others: {others:,}")
    return (
        f"`{part.name}`: {part.title}",
        _inputs(progress),
        "; ".join(shown),
        f"{progress.steady:,}",
        _growth(progress),
        str(len(progress.failures)),
        f"`make torture ONLY={part.name} SEED={progress.seed}`",
    )


def _inputs(progress: Progress) -> str:
    by_last = progress.tried - progress.tried_before
    last = f", {by_last:,} of them by the last version" if 0 < by_last < progress.tried else ""
    return f"{progress.tried:,}{last}"


def _growth(progress: Progress) -> str:
    measured = [grown for grown in progress.growth if grown.samples]
    if not measured:
        return "not measured"
    worst = max(measured, key=lambda grown: grown.samples)
    figures = {
        "memory": f"{worst.memory:+.0f} MiB",
        "threads": f"{worst.threads:+.0f} threads",
        "descriptors": f"{worst.descriptors:+.0f} descriptors",
    }
    unjudged = [name for name in figures if not worst.judges(name)]
    few = f" ({', '.join(unjudged)} not judged: {worst.samples} blocks)" if unjudged else ""
    return ", ".join(figures.values()) + few


def write_page(page: Path, name: str, content: str) -> None:
    """Replace the block `<!-- torture: NAME -->` of a page. It ends with `<!-- end -->`."""
    text = page.read_text()
    page.write_text(
        _MARKED.sub(lambda found: f"{found[1]}{content}\n{found[3]}" if found["name"] == name else found[0], text)
    )
