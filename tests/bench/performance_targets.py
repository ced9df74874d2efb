"""Figures with a target: their values, bounds and details. Pure functions of the results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from bench.pool import Record
from bench.results import Results
from bench.systems import Kind, Use


class Sense(Enum):
    """Side of the bound that meets the target."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its target."""

    figure: str
    value: float | None
    """None if it could not be measured; `detail` gives the reason."""
    sense: Sense
    bound: float
    unit: str = ""
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        """True if the target is met; None without a value."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.sense is Sense.AT_LEAST else self.value <= self.bound


def rows(results: Results) -> list[Row]:
    """Return all rows, in the order of docs/performance.md."""
    return [
        *_throughput(results),
        *_peers(results),
        _interactive(results),
        _beside_bulk(results),
        *_overload(results),
        _memory(results),
        _start(results),
    ]


def _throughput(results: Results) -> list[Row]:
    ours, bare = _ours(results.records), _first(results.records, Use.BARE)
    return [
        Row(
            "served over gRPC / bare engine, documents/s",
            ratio(ours, bare),
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


def _peers(results: Results) -> list[Row]:
    amx = results.host.has_amx
    in_use = [record for record in results.records if record.system.use is Use.AS_USERS_DO]
    at_best = [record for record in results.records if record.system.use is Use.AT_ITS_BEST]
    peers = list(dict.fromkeys(record.system.peer for record in [*in_use, *at_best]))
    least = {
        "sentence-transformers": ("as its users run it", in_use, 5.0 if amx else 2.5),
        "infinity": ("as its users run it", in_use, 5.0 if amx else 2.5),
        "fastembed": ("fp32, best batch size", _fp32(at_best), 3.0 if amx else 2.0),
        "flashrank": ("fp32, best batch size", _fp32(at_best), 3.0 if amx else 2.0),
    }
    same_precision = [
        _beside(results, f"served / {peer}, {how}", _of(records, peer), bound)
        for peer, (how, records, bound) in least.items()
        if peer in peers
    ]
    all_records = [*in_use, *at_best]
    return same_precision + [
        _beside(results, f"served / {peer}, best documented CPU setting", _of(all_records, peer), 1.3) for peer in peers
    ]


def _interactive(results: Results) -> Row:
    ours, bare = _ours(results.records), _first(results.records, Use.BARE)
    seconds = (ours.interactive, bare.interactive)
    value = seconds[0] / seconds[1] if seconds[0] and seconds[1] else None
    detail = f"{seconds[0] * 1000:.0f} ms and {seconds[1] * 1000:.0f} ms" if seconds[0] and seconds[1] else ""
    documents = results.options.interactive_documents
    figure = f"p50 of a {documents}-document request, idle server / bare engine on the same pairs"
    return Row(figure, value, Sense.AT_MOST, 1.15, detail=detail or _failed(ours, bare))


def _beside_bulk(results: Results) -> Row:
    figure = "p99 of 10-document requests beside two 1,000-document clients / idle"
    measured = results.beside_bulk
    if measured is None:
        return Row(figure, None, Sense.AT_MOST, 4.0, detail=results.failed["beside_bulk"])
    times = f"{measured.busy.latency.p99 * 1000:.0f} ms and {measured.idle.latency.p99 * 1000:.0f} ms"
    failed = [
        _errors(measured.busy.errors),
        _errors(measured.bulk.errors) and f"bulk clients: {_errors(measured.bulk.errors)}",
    ]
    return Row(figure, measured.ratio, Sense.AT_MOST, 4.0, detail=", ".join(filter(None, (times, *failed))))


def _overload(results: Results) -> list[Row]:
    throughput, refusal = "documents/s at twice the saturation load / at saturation", "slowest rejection at that load"
    measured = results.overload
    if measured is None:
        why = results.failed["overload"]
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


def _memory(results: Results) -> Row:
    measured, options = results.memory, results.options
    documents = f"{options.memory_documents:,} documents of {options.memory_tokens} tokens"
    detail = (
        f"{measured.before:.0f} MB before, {measured.peak:.0f} MB at the peak" if measured else results.failed["memory"]
    )
    figure = f"peak memory added by a gRPC request of {documents}"
    return Row(figure, measured.added if measured else None, Sense.AT_MOST, 150.0, "MB", detail)


def _start(results: Results) -> Row:
    figure = "start of the server with the bundled model until it is ready"
    return Row(figure, results.cold_start, Sense.AT_MOST, 2.0, "s", results.failed.get("cold_start", ""))


def ratio(ours: Record, other: Record) -> float | None:
    """Return the median over the rounds of the ratio of documents per second.

    Values of one round are measured close together, so that changes of the machine cancel out.
    """
    pairs = list(zip(ours.documents_per_second, other.documents_per_second, strict=False))
    return median(mine / theirs for mine, theirs in pairs) if pairs else None


def _beside(results: Results, figure: str, others: Sequence[Record], bound: float) -> Row:
    """Return the row that compares our server with the fastest of several systems."""
    measured = [record for record in others if record.speed is not None]
    if not measured:
        return Row(figure, None, Sense.AT_LEAST, bound, detail=_failed(*others))
    best = max(measured, key=lambda record: record.speed or 0.0)
    detail = f"{best.system.name} {best.system.precision}"
    return Row(figure, ratio(_ours(results.records), best), Sense.AT_LEAST, bound, detail=detail)


def _ours(records: Sequence[Record]) -> Record:
    return next(record for record in records if record.system.kind is Kind.GRPC)


def _first(records: Sequence[Record], use: Use) -> Record:
    return next(record for record in records if record.system.use is use)


def _of(records: Iterable[Record], peer: str) -> list[Record]:
    return [record for record in records if record.system.peer == peer]


def _fp32(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.system.precision == "fp32"]


def _failed(*records: Record) -> str:
    return "; ".join(dict.fromkeys(record.failed for record in records if record.failed))


def _errors(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
