"""Targets that compare this server with peers.

A setting of a peer counts if its rankings are as good: its relevance loss is within the bounds of `auto`, or no larger
than that of this server. Faster settings that lose more are named in the details.
"""

from collections.abc import Iterable, Sequence

from bench.host import Host
from bench.parts import BUNDLED
from bench.pool import Record
from bench.results import Results
from bench.systems import OURS, SERVED, Use
from bench.target_row import Row, Sense
from rerank_service.models.tuning.relevance_loss import MAX_MEAN_LOSS, MAX_WORST_LOSS

_TIMES_BEST = 1.3
_TIMES_BEST_INT8 = 1.2


def peer_rows(host: Host, records: Sequence[Record]) -> list[Row]:
    """Return the comparisons with each peer, on the model with random weights."""
    runnable = [record for record in records if not record.system.cannot_run]
    peers = list(dict.fromkeys(record.system.peer for record in runnable if record.system.peer != OURS))
    by_peer = {peer: [record for record in runnable if record.system.peer == peer] for peer in peers}
    ours = _ours(records)
    rows = [
        _beside(f"served / {peer}, as its users run it", ours, _in_use(of), _times_in_use(host, peer))
        for peer, of in by_peer.items()
        if _in_use(of)
    ]
    rows += [
        _beside(f"served / {peer}, fp32, best batch size", ours, _fp32(of), 3.0 if host.has_amx else 2.0)
        for peer, of in by_peer.items()
        if not _in_use(of)
    ]
    if host.has_only_vnni and (int8 := [each for each in by_peer.get("sentence-transformers", []) if _is_int8(each)]):
        figure = "served / sentence-transformers, best int8 setting"
        rows.append(_beside(figure, ours, int8, _TIMES_BEST_INT8))
    rows += [
        _beside(f"served / {peer}, best documented CPU setting", ours, of, _TIMES_BEST) for peer, of in by_peer.items()
    ]
    return rows


def bundled_rows(results: Results) -> list[Row]:
    """Return the figures of the bundled model; an empty list if it was not measured."""
    records = results.records(BUNDLED)
    if not records:
        return []
    ours = _ours(records)
    peers = _in_use([record for record in records if record.system.peer != OURS])
    losses = (ours.loss.mean, ours.loss.worst) if ours.loss else (None, None)
    detail = f"{ours.loss.queries} queries of the parity set" if ours.loss else ours.failed or "not measured"
    compared = "bundled model: served / sentence-transformers with the model's own code, as its users run it"
    return [
        *([_beside(compared, ours, peers, _times_in_use(results.host, "sentence-transformers"))] if peers else []),
        Row("bundled model: mean relevance loss", losses[0], Sense.AT_MOST, MAX_MEAN_LOSS, detail=detail),
        Row(
            "bundled model: relevance loss of the worst query", losses[1], Sense.AT_MOST, MAX_WORST_LOSS, detail=detail
        ),
    ]


def ranks_as_well(record: Record, ours: Record) -> bool:
    """Return whether the rankings of a system are good enough to compare its speed. True without a measurement."""
    if record.loss is None or record.loss.passes:
        return True
    return ours.loss is not None and record.loss.is_no_worse_than(ours.loss)


def _times_in_use(host: Host, peer: str) -> float:
    """Return how many times the speed of a peer's default use is the target."""
    if host.has_amx:
        return 5.0
    return 3.0 if host.has_only_vnni and peer == "sentence-transformers" else 2.5


def _beside(figure: str, ours: Record, others: Sequence[Record], bound: float) -> Row:
    """Return the row that compares our server with the fastest of several systems whose rankings are as good."""
    measured = [record for record in others if record.speed is not None]
    counted = [record for record in measured if ranks_as_well(record, ours)]
    if not counted:
        return Row(figure, None, Sense.AT_LEAST, bound, detail="; ".join([*_failures(others), *_losing(measured)]))
    best = max(counted, key=_speed)
    faster = [record for record in measured if record not in counted and _speed(record) > _speed(best)]
    named = f"{best.system.name} {best.system.precision}"
    return Row(figure, best.ratio, Sense.AT_LEAST, bound, detail="; ".join([named, *_losing(faster)]))


def _losing(records: Iterable[Record]) -> list[str]:
    """Return a text for each system that does not count because its rankings are worse."""
    return [
        f"not counted: {record.system.name} {record.system.precision} (ratio {record.ratio or 0.0:.2f}), "
        f"loses {record.loss.mean:.4f}, worst query {record.loss.worst:.3f}"
        for record in records
        if record.loss
    ]


def _failures(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(record.failed for record in records if record.failed))


def _speed(record: Record) -> float:
    return record.speed or 0.0


def _ours(records: Sequence[Record]) -> Record:
    return next(record for record in records if record.system == SERVED)


def _in_use(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.system.use is Use.AS_USERS_DO]


def _fp32(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.system.precision == "fp32"]


def _is_int8(record: Record) -> bool:
    return record.system.precision == "int8"
