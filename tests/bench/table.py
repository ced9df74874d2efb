"""The results as a page of Markdown."""

from collections.abc import Iterable, Sequence

from bench.contestants import Use
from bench.field import Record
from bench.figures.levels import LoadLevel
from bench.results import Results
from bench.rows import Row, ratio, rows

_HOW = {
    Use.OURS: "",
    Use.BARE: "pre-tokenized, pre-sorted, all lanes",
    Use.AS_USERS_DO: "as its users run it",
    Use.AT_ITS_BEST: "best batch size",
}

_HOW_MEASURED = """The same {work} documents in turn, {rounds} rounds, medians; ratios are medians of the rounds' own.
p50 is of one request of {documents} documents at a time."""


def page(results: Results, picture: str) -> str:
    """What `make bench` writes; `picture` is the file beside it."""
    options = results.options
    parts = [
        f"# {results.host.cpu}, {results.host.cores} cores, {results.date}",
        "Made by `make bench`; [performance.md](../performance.md) says how each figure is taken.",
        _setting(results),
        "## What is demanded",
        _table(("figure", "value", "bound", "", "of it"), map(_row, rows(results))),
        "## Contestants",
        _HOW_MEASURED.format(work=results.work, rounds=options.rounds, documents=options.interactive_documents),
        _contestants(results),
        f"![throughput and latency]({picture})",
        "## Load levels",
        f"Requests of {options.documents} documents; each client waits for its answer. Few calls: p99 is the slowest.",
        _levels(results.levels),
        "## Versions",
        _versions(results.records),
    ]
    return "\n\n".join(parts) + "\n"


def _setting(results: Results) -> str:
    host, served = results.host, results.served
    lines = {
        "processor": f"{host.cpu}, {host.cores} cores",
        "features": ", ".join(host.features) or "none of those that matter here",
        "variant that was served": f"{served.precision} on {served.provider}",
        "settings": ", ".join(f"{name}={value}" for name, value in results.settings.items()) or "defaults",
        "Python": host.python,
        "date": results.date,
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def _row(row: Row) -> Sequence[str]:
    if row.value is None:
        return row.figure, "-", _bound(row), "-", row.detail
    digits = 0 if row.unit in ("ms", "MB") else 3 if row.bound < 2 and not row.unit else 2
    value = f"{row.value:.{digits}f} {row.unit}".strip()
    return row.figure, f"**{value}**", _bound(row), "yes" if row.holds else "NO", row.detail


def _bound(row: Row) -> str:
    return f"{row.sense.value} {row.bound:g} {row.unit}".strip()


def _contestants(results: Results) -> str:
    ours = results.records[0]
    head = ("contestant", "precision", "how", "batch", "documents/s", "ours / it", "p50, ms", "scores differ by")
    return _table(head, (_contestant(record, ours, results.served.precision) for record in results.records))


def _contestant(record: Record, ours: Record, precision: str) -> Sequence[str]:
    contestant = record.contestant
    named = (contestant.name, contestant.precision or precision, _HOW[contestant.use])
    if record.speed is None:
        return *named, "", f"did not run: {record.failed or 'no reason given'}", "", "", ""
    times = ratio(ours, record)
    return (
        *named,
        "" if record.batch is None else str(record.batch),
        f"{record.speed:.1f}",
        "" if record is ours or times is None else f"{times:.2f}",
        "" if record.interactive is None else f"{record.interactive * 1000:.0f}",
        "" if record.score_difference is None else f"{record.score_difference:.1e}",
    )


def _levels(levels: Sequence[LoadLevel]) -> str:
    head = ("clients", "server", "calls", "documents/s", "p50, ms", "p95, ms", "p99, ms", "failed")
    return _table(head, map(_level, levels))


def _level(level: LoadLevel) -> Sequence[str]:
    summary = level.summary
    times = (summary.latency.p50, summary.latency.p95, summary.latency.p99)
    return (
        str(level.clients),
        level.contestant,
        str(summary.requests),
        f"{summary.documents_per_second:.1f}",
        *(f"{seconds * 1000:.0f}" for seconds in times),
        ", ".join(f"{count} {kind}" for kind, count in summary.errors.items()),
    )


def _versions(records: Iterable[Record]) -> str:
    versions = {record.contestant.peer: record.versions for record in records if record.versions}
    return "\n".join(
        f"- {peer}: " + ", ".join(f"{name} {version}" for name, version in packages.items())
        for peer, packages in versions.items()
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    marks = ["---"] * len(head)
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in (head, marks, *lines))


def _cell(text: str) -> str:
    """A text that ends no cell."""
    return " ".join(text.replace("|", "\\|").split())
