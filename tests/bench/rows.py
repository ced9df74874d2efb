"""The figures that are demanded, each with its bound. Pure: results in, rows out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from bench.contestants import Kind, Use
from bench.field import Record
from bench.results import Results


class Sense(Enum):
    """Which side of the bound is the right one."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    figure: str
    value: float | None
    """None where it could not be taken; `detail` says why."""
    sense: Sense
    bound: float
    unit: str = ""
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept; None where there is no value."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.sense is Sense.AT_LEAST else self.value <= self.bound


def rows(results: Results) -> list[Row]:
    """All of them, in the order of docs/performance.md."""
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
    in_use = [record for record in results.records if record.contestant.use is Use.AS_USERS_DO]
    at_best = [record for record in results.records if record.contestant.use is Use.AT_ITS_BEST]
    peers = list(dict.fromkeys(record.contestant.peer for record in [*in_use, *at_best]))
    least = {
        "sentence-transformers": ("as its users run it", in_use, 5.0 if amx else 2.5),
        "infinity": ("as its users run it", in_use, 5.0 if amx else 2.5),
        "fastembed": ("fp32, best batch size", _fp32(at_best), 3.0 if amx else 2.0),
        "flashrank": ("fp32, best batch size", _fp32(at_best), 3.0 if amx else 2.0),
    }
    demanded = [
        _beside(results, f"served / {peer}, {how}", _of(records, peer), bound)
        for peer, (how, records, bound) in least.items()
        if peer in peers
    ]
    every = [*in_use, *at_best]
    return demanded + [
        _beside(results, f"served / {peer}, best documented CPU setting", _of(every, peer), 1.3) for peer in peers
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
    taken = results.beside_bulk
    if taken is None:
        return Row(figure, None, Sense.AT_MOST, 4.0, detail=results.failed["beside_bulk"])
    times = f"{taken.busy.latency.p99 * 1000:.0f} ms and {taken.idle.latency.p99 * 1000:.0f} ms"
    failed = [_errors(taken.busy.errors), _errors(taken.bulk.errors) and f"bulk clients: {_errors(taken.bulk.errors)}"]
    return Row(figure, taken.ratio, Sense.AT_MOST, 4.0, detail=", ".join(filter(None, (times, *failed))))


def _overload(results: Results) -> list[Row]:
    throughput, refusal = "documents/s at twice the saturation load / at saturation", "slowest rejection at that load"
    taken = results.overload
    if taken is None:
        why = results.failed["overload"]
        return [
            Row(throughput, None, Sense.AT_LEAST, 0.95, detail=why),
            Row(refusal, None, Sense.AT_MOST, 50.0, "ms", why),
        ]
    calls = f"{taken.overload.answered} of {taken.overload.requests} calls answered in time"
    slowest = taken.overload.refusals.longest * 1000 or None
    errors = _errors(taken.overload.errors) or "no call was rejected"
    return [
        Row(throughput, taken.ratio, Sense.AT_LEAST, 0.95, detail=calls),
        Row(refusal, slowest, Sense.AT_MOST, 50.0, "ms", errors),
    ]


def _memory(results: Results) -> Row:
    taken, options = results.memory, results.options
    documents = f"{options.memory_documents:,} documents of {options.memory_tokens} tokens"
    detail = f"{taken.before:.0f} MB before, {taken.peak:.0f} MB at the peak" if taken else results.failed["memory"]
    figure = f"peak memory added by a gRPC request of {documents}"
    return Row(figure, taken.added if taken else None, Sense.AT_MOST, 150.0, "MB", detail)


def _start(results: Results) -> Row:
    figure = "start of the server with the bundled model until it is ready"
    return Row(figure, results.cold_start, Sense.AT_MOST, 2.0, "s", results.failed.get("cold_start", ""))


def ratio(ours: Record, other: Record) -> float | None:
    """Of documents a second: the median of the ratios of the rounds, since what is of one round was taken close
    together."""
    pairs = list(zip(ours.documents_per_second, other.documents_per_second, strict=False))
    return median(one / two for one, two in pairs) if pairs else None


def _beside(results: Results, figure: str, others: Sequence[Record], bound: float) -> Row:
    """Beside the fastest of several."""
    measured = [record for record in others if record.speed is not None]
    if not measured:
        return Row(figure, None, Sense.AT_LEAST, bound, detail=_failed(*others))
    best = max(measured, key=lambda record: record.speed or 0.0)
    detail = f"{best.contestant.name} {best.contestant.precision}"
    return Row(figure, ratio(_ours(results.records), best), Sense.AT_LEAST, bound, detail=detail)


def _ours(records: Sequence[Record]) -> Record:
    return next(record for record in records if record.contestant.kind is Kind.GRPC)


def _first(records: Sequence[Record], use: Use) -> Record:
    return next(record for record in records if record.contestant.use is use)


def _of(records: Iterable[Record], peer: str) -> list[Record]:
    return [record for record in records if record.contestant.peer == peer]


def _fp32(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.contestant.precision == "fp32"]


def _failed(*records: Record) -> str:
    return "; ".join(dict.fromkeys(record.failed for record in records if record.failed))


def _errors(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
