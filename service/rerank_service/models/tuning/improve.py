"""Improve a running server in the background: choose an engine, store the choice, and load the model on it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from rerank_service.engine.available import AvailableEngines, SkippedEngine, available_engines, reasons
from rerank_service.engine.cgroup_limits import memory_left as cgroup_memory_left
from rerank_service.engine.kinds import Engine
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.golden_check import GoldenCheck
from rerank_service.models.loading import load_on
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.background import DOCUMENT_TOKENS, QUERIES, TuningCancelled, TuningTime, tune_short
from rerank_service.models.tuning.engine_choice import TuningOutcome
from rerank_service.models.tuning.engine_loader import EngineLoader, EngineNotLoaded, EngineSet
from rerank_service.models.tuning.memory_estimate import MemoryCheck, MemoryLeft, memory_check
from rerank_service.models.tuning.record import TuningRecord, reference_engine
from rerank_service.models.tuning.startup import EngineRequest, Selection, runnable_request, tuning_key, tuning_of_key
from rerank_service.models.tuning.throughput import Score
from rerank_service.models.variants.cache import Cache

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FasterModel:
    """The running model, loaded on a faster engine."""

    model: ServedModel


@dataclass(frozen=True, slots=True)
class SameEngine:
    """The running model has the chosen engine, and now there is a reason for it."""

    info: ModelInfo
    """The facts about the running model, with the new reason."""


Improvement = FasterModel | SameEngine


LoadChosen = Callable[[], Improvement | None]
"""Loads the running model on the engine that was chosen, unless it runs there, and keeps the choice. Blocks.

Returns None if there is not enough memory for a second engine now. The choice is kept: the next load of the model may
use it, alone.

Raises BundleInvalid: the model does not load on that engine, or its files changed since it was loaded. No choice is
kept."""


class ImproveOnce:
    """Improves each model once for a bundle and a requested engine. Later loads of the model are not tuned again, also
    if no result can be kept. Used by one thread at a time."""

    def __init__(self, options_of: Callable[[ModelEntry], ModelOptions]) -> None:
        self._options_of = options_of
        self._tuned: set[tuple[str, str]] = set()

    def __call__(self, entry: ModelEntry, running: ServedModel, halt: threading.Event) -> LoadChosen | None:
        """Choose an engine for the version that serves, as `choose_faster`."""
        options = self._options_of(entry)
        requested = runnable_request(running.bundle, options.requested)
        tuning = running.info.name, _key_of_verified(running.bundle, requested)
        if tuning in self._tuned:
            return None
        load: LoadChosen | None = None
        try:
            load = choose_faster(options, running, halt)
        finally:
            if load is None:
                self._note(tuning, halt)
        return load and partial(self._load, load, tuning, halt)

    def _load(self, load: LoadChosen, tuning: tuple[str, str], halt: threading.Event) -> Improvement | None:
        try:
            return load()
        finally:
            self._note(tuning, halt)

    def _note(self, tuning: tuple[str, str], halt: threading.Event) -> None:
        if not halt.is_set():
            self._tuned.add(tuning)


def choose_faster(
    options: ModelOptions, running: ServedModel, halt: threading.Event, memory_left: MemoryLeft = cgroup_memory_left
) -> LoadChosen | None:
    """Choose the fastest engine whose ranking matches fp32. Return a function that loads the model on it. Blocks.

    That function keeps the result, so that the next start, `rerank doctor` and `RerankClient.local()` use the same
    engine. It is provisional if an engine is not decided: then the next start tunes again.

    If a tuning is cached that is not provisional, its engine is the chosen one, without another tuning: another
    process may have tuned since the running version was loaded. If the version could not be loaded on that engine, it
    is tuned anew.

    Returns None if the settings leave no choice, if the cached tuning chose the engine that runs, if this tuning does
    not decide about the engine that a provisional one chose, or after `halt` is set.

    Raises:
        BundleInvalid: no query of the parity set fits the model's token limit, or its files changed since it was
            loaded. No choice is kept.
    """
    bundle, cache = running.bundle, Cache(options.cache)  # the bundle was verified when it was loaded
    requested = runnable_request(bundle, options.requested)
    if not requested.is_open:
        return None
    key = _key_of_verified(bundle, requested)
    earlier = tuning_of_key(key, cache)
    # a chosen engine is loaded with all lanes, beside the engine that is running
    check = memory_check(bundle, options.lanes_on, memory_left, running.encoder.engine)
    settled = earlier if earlier is not None and not earlier.provisional else None
    if settled is not None and settled.engine != running.refused:
        runs = options.with_cuda_graphs(settled.engine) == running.encoder.engine
        return None if runs else _Choice(options, running, settled, check).load
    time = TuningTime.start(options.tune_seconds, halt)
    available = available_engines(requested.provider, requested.precision)
    loaders = _loaders(options, running, cache, check)
    try:
        outcome = _tune(options, running, _engine_set(options, running, available, loaders), time)
    except TuningCancelled:
        return None
    except EngineNotLoaded as error:  # the base: the engine that is running stays
        _log_not_tuned(running, error.skipped)
        return None
    tuned = _record(outcome, available)
    if not _replaces(tuned, earlier, running.refused):
        return None  # it would only take back what the earlier tuning found
    for loader in loaders:
        loader.release()  # the chosen engine is loaded with all lanes, beside the running one only
    if settled is not None and settled.engine == tuned.engine:
        return _Choice(options, running, settled, check).load  # now it loads: the record is valid, and may have more
    return partial(_Choice(options, running, tuned, check).load_and_keep, key, earlier)


def _log_not_tuned(running: ServedModel, skipped: SkippedEngine) -> None:
    _log.warning("not tuned again", model=running.info.name, engine=str(skipped.engine), error=skipped.reason)


def _key_of_verified(bundle: Bundle, requested: EngineRequest) -> str:
    """Return the key of a tuning of the files that were verified.

    Raises:
        BundleInvalid: the files changed meanwhile, so the key may be that of another model.
    """
    key = tuning_key(bundle, requested)
    bundle.check_unchanged()
    return key


def _keep(tuned: TuningRecord, key: str, earlier: TuningRecord | None, cache: Cache) -> None:
    """Store a record, unless another process has stored one meanwhile that it may not replace."""
    latest = tuning_of_key(key, cache)
    if latest == earlier or _replaces(tuned, latest):
        cache.store_tuning(key, tuned.model_dump(mode="json"))


def _replaces(tuned: TuningRecord, other: TuningRecord | None, refused: Engine | None = None) -> bool:
    """Return whether a new record may replace another one, which may be that of `rerank tune`.

    `refused`: the engine of an earlier tuning, on which the model could not be loaded.
    """
    if other is None:
        return True
    is_open = other.provisional or other.engine == refused
    return is_open and (not tuned.provisional or tuned.decides(other.engine))


@dataclass(frozen=True, slots=True)
class _Choice:
    """An engine that was chosen for a running model."""

    options: ModelOptions
    running: ServedModel
    tuned: TuningRecord
    memory_check: MemoryCheck

    def load(self) -> Improvement | None:
        """Load the model on the engine, unless it runs there, or memory does not suffice for both."""
        running, tuned = self.running, self.tuned
        if self.options.with_cuda_graphs(tuned.engine) == running.encoder.engine:
            return SameEngine(replace(running.info, explanation=tuned.explanation(), reason=tuned.reason()))
        if (shortage := self.memory_check(tuned.engine)) is not None:
            stays = f"the model stays on {running.encoder.engine} until it is loaded again"
            why, name = shortage.reason, running.info.name
            _log.warning("chosen engine not loaded", model=name, engine=str(tuned.engine), why=why, next=stays)
            return None
        return FasterModel(load_on(running.bundle, self.options, Selection.of(tuned), Cache(self.options.cache)))

    def load_and_keep(self, key: str, earlier: TuningRecord | None) -> Improvement | None:
        """Load the model, and keep the new record if there is no error.

        Later loads may use this engine, also if there is no memory for it now beside the one that is running.
        """
        improvement = self.load()
        self.running.bundle.check_unchanged()  # else engines of other files may have been measured
        _keep(self.tuned, key, earlier, Cache(self.options.cache))
        name = self.running.info.name
        _log.info("tuned", model=name, engine=str(self.tuned.engine), why=self.tuned.reason())
        _log.debug("tuning results", model=name, why=self.tuned.explanation())
        return improvement


def _record(outcome: TuningOutcome, available: AvailableEngines) -> TuningRecord:
    return TuningRecord(
        form="short",
        provider=outcome.chosen.provider,
        precision=outcome.chosen.precision,
        trials=outcome.trials,
        skipped=reasons((*available.skipped, *outcome.skipped)),
        provisional=not outcome.final,
    )


def _loaders(options: ModelOptions, running: ServedModel, cache: Cache, check: MemoryCheck) -> list[EngineLoader]:
    """Return a loader for the engines to measure, and one for the base."""
    golden = GoldenCheck.read(running.bundle, running.tokenizer)

    def check_golden(engine: Engine, score: Score) -> None:
        golden.difference(engine, score, options.batch_limits(running.bundle, engine))

    return [EngineLoader(running.bundle, cache, lanes=1, memory_check=check, check=check_golden) for _ in range(2)]


def _engine_set(
    options: ModelOptions, running: ServedModel, available: AvailableEngines, loaders: list[EngineLoader]
) -> EngineSet:
    """Return the engines to measure. After a provisional tuning, the running one may not be the base: it comes first.

    Raises:
        EngineNotLoaded: the base is not running, and does not load beside the running engine.
    """
    engines = tuple(options.with_cuda_graphs(engine) for engine in available.engines)
    current, base = running.encoder.engine, reference_engine(engines)
    others, base_loader = loaders
    if current == base or current not in engines:
        rest = tuple(engine for engine in engines if engine != current)
        return EngineSet(current, running.encoder.score, rest, others.score_of)

    def load(engine: Engine) -> Score:
        return running.encoder.score if engine == current else others.score_of(engine)

    rest = (current, *(engine for engine in engines if engine not in (base, current)))
    return EngineSet(base, base_loader.score_of(base), rest, load)


def _tune(options: ModelOptions, running: ServedModel, engines: EngineSet, time: TuningTime) -> TuningOutcome:
    """Measure the engines.

    Raises:
        BundleInvalid: no query of the parity set fits the model's token limit.
        TuningCancelled: the tuning is given up.
    """
    bundle = running.bundle
    return tune_short(
        engines,
        parity_set.encoded(running.tokenizer, max_queries=QUERIES, max_tokens_per_doc=DOCUMENT_TOKENS),
        limits_on=lambda engine: options.batch_limits(bundle, engine),
        pad_id=bundle.manifest.pad_id,
        time=time,
    )
