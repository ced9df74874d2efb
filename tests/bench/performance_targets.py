"""Figures of a benchmark and their targets: server alone. peer_targets has the comparisons with peers."""

from collections.abc import Mapping

from bench.parts import Alone
from bench.peer_targets import bundled_rows, peer_rows
from bench.pool import Record
from bench.results import Results
from bench.systems import SERVED, Use
from bench.target_row import Row, Sense


def rows(results: Results) -> list[Row]:
    """Return all rows, in the order of docs/performance.md. A part that was not measured has no rows."""
    records = results.records()
    compared = [*(peer_rows(results.host, records) if records else []), *bundled_rows(results)]
    alone = results.alone
    if alone is None:
        return compared
    ours = next(record for record in records if record.system == SERVED)
    bare = next(record for record in records if record.system.use is Use.BARE)
    options = results.options
    documents = f"{options.memory_documents:,} documents of {options.memory_tokens} tokens"
    return [
        *_throughput(ours, bare),
        *compared,
        _interactive(ours, bare, options.interactive_documents),
        _beside_bulk(alone),
        *_overload(alone),
        _memory(alone, documents),
        _start(alone),
    ]


def _throughput(ours: Record, bare: Record) -> list[Row]:
    return [
        Row(
            "served over gRPC / bare engine, documents/s",
            bare.ratio,
            Sense.AT_LEAST,
            0.90,
            detail=_failed(ours, bare) or f"bare engine with its best batch size, {bare.batch} tokens",
        ),
        Row(
            "computed / real tokens, mixed lengths, 16 clients",
            ours.padding,
            Sense.AT_MOST,
            1.06,
            detail=_failed(ours),
        ),
    ]


def _interactive(ours: Record, bare: Record, documents: int) -> Row:
    seconds = (ours.interactive, bare.interactive)
    value = seconds[0] / seconds[1] if seconds[0] and seconds[1] else None
    detail = f"{seconds[0] * 1000:.0f} ms and {seconds[1] * 1000:.0f} ms" if seconds[0] and seconds[1] else ""
    figure = f"p50 of a {documents}-document request, idle server / bare engine on the same pairs"
    return Row(figure, value, Sense.AT_MOST, 1.15, detail=detail or _failed(ours, bare))


def _beside_bulk(alone: Alone) -> Row:
    figure = "p99 of 10-document requests beside two 1,000-document clients / idle"
    measured = alone.beside_bulk
    if measured is None:
        return Row(figure, None, Sense.AT_MOST, 4.0, detail=alone.failed["beside_bulk"])
    times = f"{measured.busy.latency.p99 * 1000:.0f} ms and {measured.idle.latency.p99 * 1000:.0f} ms"
    failed = [
        _errors(measured.busy.errors),
        _errors(measured.bulk.errors) and f"bulk clients: {_errors(measured.bulk.errors)}",
    ]
    return Row(figure, measured.ratio, Sense.AT_MOST, 4.0, detail=", ".join(filter(None, (times, *failed))))


def _overload(alone: Alone) -> list[Row]:
    throughput, refusal = "documents/s at twice the saturation load / at saturation", "slowest rejection at that load"
    measured = alone.overload
    if measured is None:
        why = alone.failed["overload"]
        return [
            Row(throughput, None, Sense.AT_LEAST, 0.95, detail=why),
            Row(refusal, None, Sense.AT_MOST, 50.0, "ms", why),
        ]
    calls = f"{measured.overload.answered} of {measured.overload.requests} calls answered in time"
    slowest = measured.overload.refusals.longest * 1000 or None
    errors = _errors(measured.overload.errors) or "no call was rejected"
    return [
        Row(throughput, measured.ratio, Sense.AT_LEAST, 0.95, detail=calls),
        Row(refusal, slowest, Sense.AT_MOST, 50.0, "ms", errors),
    ]


def _memory(alone: Alone, documents: str) -> Row:
    measured = alone.memory
    detail = (
        f"{measured.before:.0f} MB before, {measured.peak:.0f} MB at the peak" if measured else alone.failed["memory"]
    )
    figure = f"peak memory added by a gRPC request of {documents}"
    return Row(figure, measured.added if measured else None, Sense.AT_MOST, 150.0, "MB", detail)


def _start(alone: Alone) -> Row:
    figure = "start of the server with the bundled model until it is ready"
    return Row(figure, alone.cold_start, Sense.AT_MOST, 2.0, "s", alone.failed.get("cold_start", ""))


def _failed(*records: Record) -> str:
    return "; ".join(dict.fromkeys(record.failed for record in records if record.failed))


def _errors(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
