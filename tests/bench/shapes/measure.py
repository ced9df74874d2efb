"""Measure one shape: this server, and beside it one setting of the peer after the other.

Only one setting of the peer is loaded at a time, since each one holds the whole model. In each round, this server and
that setting have a turn, so that a machine that is slow for a while changes little.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.comparison import FAILURES
from bench.environments import Say, python_of
from bench.figures.relevance import logits_of, loss_of, parity_requests
from bench.host import Host
from bench.model_folders import BUNDLE
from bench.peers import peers_of_random_model
from bench.pool import Record
from bench.running_systems import RunningSystem, ServedSystem, running_runner
from bench.shapes.options import ShapeOptions
from bench.shapes.results import LengthResult, ShapeResult, SystemSpeed
from bench.shapes.rivals import Rivals
from bench.shapes.served import memory_of, parameters, started, tune
from bench.shapes.shape import Shape
from bench.shapes.work import TokenTexts
from bench.systems import REFERENCE, SERVED, System
from rerank_service.tools.loadtest.workload import PreparedRequests

PEER = "sentence-transformers"
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of a weight by precision."""

Work = Mapping[int, PreparedRequests]
"""The requests of a turn, by the tokens of a document."""


@dataclass(frozen=True, slots=True)
class _Beside:
    """A setting of the peer beside this server, by the tokens of a document."""

    record: Record
    """The setting, with its relevance loss."""
    peer: Mapping[int, list[float]]
    """Documents per second of the rounds."""
    ours: Mapping[int, list[float]]


class ShapeMeasurement:
    """The measurement of one shape."""

    def __init__(self, shape: Shape, models: Path, host: Host, options: ShapeOptions, logs: Path, say: Say) -> None:
        """`models` is the output folder of bench.shapes.build."""
        self._shape = shape
        self._models = models
        self._host = host
        self._options = options
        self._logs = logs
        self._say = say
        self._parity = parity_requests(options.parity_queries)

    def result(self) -> ShapeResult:
        """Measure everything."""
        load, bundle = os.getloadavg()[0], self._models / BUNDLE
        why = self._choose_engine(bundle)
        expected = self._reference(bundle)
        with started(self._logs / "server.log", bundle, self._served()) as (ours, process_id, ready):
            work = self._work(ours, bundle)
            our_loss = loss_of(expected, self._logits(ours, None))
            rivals = Rivals(Record(system=SERVED, loss=our_loss))
            beside, failed = self._peers(ours, work, expected, rivals)
            memory = memory_of(process_id)  # after all rounds
        precision = ours.info.precision
        requested = " (requested)" if self._options.precision else ""
        return ShapeResult(
            shape=self._shape.label,
            model=self._shape.model,
            source=self._shape.source,
            tokenizer=self._shape.tokenizer,
            scale=self._shape.scale,
            date=datetime.now(UTC).date().isoformat(),
            load_average=load,
            engine=f"{precision} on {ours.info.provider.removesuffix('ExecutionProvider')}{requested}",
            why=why,
            mean_loss=our_loss.mean,
            parameters=parameters(bundle),
            weight_bytes=parameters(bundle) * _BYTES[precision],
            peak_bytes=memory.peak,
            proportional_bytes=memory.proportional,
            own_bytes=memory.own,
            ready_seconds=ready,
            lengths=tuple(_length(tokens, beside, rivals) for tokens in self._options.lengths),
            failed=failed,
        )

    def _choose_engine(self, bundle: Path) -> str:
        """Let `auto` choose the engine, unless a precision is set. Return the reason of the choice."""
        if self._options.precision:
            return f"requested: precision {self._options.precision}"
        self._say(f"{self._shape.label}: tuning")
        tuned = tune(self._logs / "tuning.log", bundle, self._options.tune_seconds)
        self._say(f"{self._shape.label}: {tuned.get('engine', 'no tuning')}, {tuned.get('why', '')}")
        return str(tuned.get("why", ""))

    def _served(self) -> System:
        precision = self._options.precision
        return replace(SERVED, arguments=("--precision", precision)) if precision else SERVED

    def _reference(self, bundle: Path) -> list[NDArray[np.float32]]:
        """Return the logits in fp32 on the queries of the parity set."""
        with started(self._logs / "reference.log", bundle, REFERENCE) as (running, _, _):
            return self._logits(running, None)

    def _logits(self, running: RunningSystem, batch: int | None) -> list[NDArray[np.float32]]:
        with running.on_turn():
            return [logits_of(running.scores(request, batch)) for request in self._parity]

    def _work(self, ours: ServedSystem, bundle: Path) -> Work:
        """Return the work of a turn for each length, after a warm-up with such documents."""
        texts, options = TokenTexts(bundle / "tokenizer.json"), self._options
        work = {}
        for tokens in options.lengths:
            first = texts.requests(options.least_requests, options.documents, tokens)
            for _ in range(2):  # the first one warms up
                speed = self._turn(ours, first, None)
            wanted = round(speed * options.turn_seconds / options.documents)
            work[tokens] = texts.requests(max(options.least_requests, wanted), options.documents, tokens)
        return work

    def _turn(self, running: RunningSystem, work: PreparedRequests, batch: int | None) -> float:
        options = self._options
        with running.on_turn():
            turn = running.work(work, repeats=options.served_repeats, clients=options.clients, batch=batch)
        return turn.documents_per_second

    def _peers(
        self, ours: ServedSystem, work: Work, expected: Sequence[NDArray[np.float32]], rivals: Rivals
    ) -> tuple[list[_Beside], dict[str, str]]:
        """Measure all settings of the peer. Returns them, and the reasons of those that failed."""
        measured, failed = [], {}
        systems = [system for system in peers_of_random_model(self._models, self._host) if system.peer == PEER]
        for system in reversed(systems):  # the last ones are the fastest, so that most others need one round only
            name = f"{system.name} {system.precision} {system.use.value}"
            if system.cannot_run:
                failed[name] = system.cannot_run
                continue
            self._say(f"{self._shape.label}: {name}")
            try:
                python = python_of(system.peer, self._say)
                log = self._logs / f"{system.slug}.log"
                folder = self._models / system.model
                with running_runner(system, python, folder, log, self._host.cores) as running:
                    record = Record(system=system, loss=loss_of(expected, self._logits(running, None)))
                    measured.append(self._beside(ours, running, work, record, rivals))
            except FAILURES as error:
                failed[name] = str(error)
                self._say(f"{self._shape.label}: {name} stopped: {error}")
        return measured[::-1], failed

    def _beside(
        self, ours: ServedSystem, running: RunningSystem, work: Work, record: Record, rivals: Rivals
    ) -> _Beside:
        """Measure a setting of the peer. At each length it gets one round, and all if it may be the fastest."""
        beside = _Beside(record, {tokens: [] for tokens in work}, {tokens: [] for tokens in work})
        for tokens, requests in work.items():
            batch = self._best_batch(running, requests) if record.system.is_tuned else None
            for _ in range(self._options.rounds):
                beside.ours[tokens].append(self._turn(ours, requests, None))
                beside.peer[tokens].append(self._turn(running, requests, batch))
                if not rivals.may_be_fastest(record, tokens, beside.peer[tokens][-1]):
                    break
            rivals.add(record, tokens, median(beside.peer[tokens]))
        return beside

    def _best_batch(self, running: RunningSystem, work: PreparedRequests) -> int:
        """Return the fastest batch size on a part of the work."""
        part = PreparedRequests(work.requests[: max(1, len(work.requests) // 4)])
        sizes = self._options.batches
        if len(sizes) > 1:
            self._turn(running, part, max(sizes))  # warms up
        speeds = {size: self._turn(running, part, size) for size in sizes}
        return max(speeds, key=speeds.__getitem__)


def _length(tokens: int, measured: Sequence[_Beside], rivals: Rivals) -> LengthResult:
    return LengthResult(
        tokens=tokens,
        ours=median(speed for beside in measured for speed in beside.ours[tokens]) if measured else 0.0,
        systems=tuple(_speed(tokens, beside, counts=rivals.counts(beside.record)) for beside in measured),
    )


def _speed(tokens: int, beside: _Beside, *, counts: bool) -> SystemSpeed:
    system, loss = beside.record.system, beside.record.loss
    assert loss is not None
    pairs = zip(beside.ours[tokens], beside.peer[tokens], strict=True)
    return SystemSpeed(
        name=system.name,
        use=system.use.value,
        precision=system.precision,
        documents_per_second=median(beside.peer[tokens]),
        ratio=median(own / peer for own, peer in pairs),
        rounds=len(beside.peer[tokens]),
        mean_loss=loss.mean,
        worst_loss=loss.worst,
        ranks_as_well=counts,
    )
