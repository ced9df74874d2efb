"""From a model folder to a model that is served: which engine, which graph, which limits.

Rule: everything here blocks, and is called from a thread.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from rerank_service.engine.available import Offer, offer, reasons
from rerank_service.engine.batch_defaults import default_lanes, default_limits
from rerank_service.engine.kinds import Engine, Provider
from rerank_service.models.build import Names, build_model
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.background import DOCUMENT_TOKENS, QUERIES, SECONDS, Halted, Time, tune_short
from rerank_service.models.tuning.candidates import Candidates, Contest, Lacking
from rerank_service.models.tuning.cgroup_memory import memory_left
from rerank_service.models.tuning.full import Told, machine, tune_full
from rerank_service.models.tuning.memory_estimate import Left, lacking
from rerank_service.models.tuning.record import Tuned, reference_of
from rerank_service.models.tuning.startup import (
    EngineRequest,
    Selection,
    remembered,
    runnable_request,
    select,
    tuning_key,
)
from rerank_service.models.tuning.trials import Found
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.score_cache import ScoreCache

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the operator says of the model. None: what was tuned, else what its engine has."""

    folder: Path
    cache: Path
    requested: EngineRequest = field(default_factory=EngineRequest)
    lanes: int | None = None
    max_batch_tokens: int | None = None
    length_multiple: int | None = None
    max_batch_pairs: int | None = None
    cuda_graphs: bool = False
    """Where it runs on CUDA."""
    names: Names = field(default_factory=Names)
    score_cache_bytes: int = 0
    tune_seconds: float = SECONDS
    """Maximum time of a tuning in the background."""


def load_selected(options: ModelOptions) -> ServedModel:
    """Load the model on the engine that was asked for, or tuned before, or is sure.

    Raises:
        BundleInvalid: it cannot be served.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    return _load(bundle, options, select(bundle, runnable_request(bundle, options.requested), cache), cache)


def load_better(
    options: ModelOptions, running: ServedModel, halt: threading.Event, left: Left = memory_left
) -> ServedModel | None:
    """Measure which engine is the fastest here that ranks as fp32 does, remember it, and load the model on it; what
    runs, with the reason for it, if that is the one; None if nothing is to be chosen, or if it was told to halt."""
    bundle, cache = running.bundle, Cache(options.cache)  # checked when it was loaded, which takes long
    if (
        not runnable_request(bundle, options.requested).is_open
        or remembered(bundle, options.requested, cache) is not None
    ):
        return None
    time_left = Time(time.perf_counter() + options.tune_seconds, halt)
    offered = offer(options.requested.provider, options.requested.precision)
    try:
        found = _found(options, running, offered, time_left, left)
    except Halted:
        return None
    tuned = Tuned(
        form="short",
        provider=found.chosen.provider,
        precision=found.chosen.precision,
        trials=found.trials,
        skipped=reasons((*offered.skipped, *found.skipped)),
    )
    if found.final:  # else the next start, with less to do, may find out
        cache.keep_tuning(tuning_key(bundle, options.requested), tuned.model_dump(mode="json"))
    _log.info("tuned", engine=str(tuned.engine), why=tuned.reason())
    _log.debug("tuning results", why=tuned.why())
    if _engine(tuned.engine, options) == running.encoder.engine:
        return replace(running, info=replace(running.info, choice=tuned.why(), reason=tuned.reason()))
    return _load(bundle, options, Selection.of(tuned), cache)


def tune(options: ModelOptions, told: Told, left: Left = memory_left) -> tuple[Tuned, bool]:
    """Measure what runs the model best, and keep it; tells whether it could be kept. Takes minutes.

    Raises:
        BundleInvalid: it cannot be served.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    requested = runnable_request(bundle, options.requested)
    found = offer(requested.provider, requested.precision)
    base = reference_of(found.engines)
    lanes = options.lanes or default_lanes(base)
    here = machine(bundle, cache, _limits(options, None, base), lanes=lanes)
    tuned = tune_full(here, found, told, _lacking(bundle, replace(options, lanes=lanes), left))
    return tuned, cache.keep_tuning(tuning_key(bundle, requested), tuned.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The engines that a start would choose from, and its choice."""

    offered: Offer
    lacking: dict[Engine, str]
    """Engines that work here and for which memory is missing."""
    selection: Selection


def explain(options: ModelOptions, left: Left = memory_left) -> Explanation:
    """List the engines, and find the remembered tuning and the choice of a start. Measures nothing.

    Raises:
        BundleInvalid: it cannot be served.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    requested = runnable_request(bundle, options.requested)
    offered = offer(requested.provider, requested.precision)
    lacks = _lacking(bundle, options, left)
    lacking_memory = {engine: why for engine in offered.engines if (why := lacks(engine)) is not None}
    return Explanation(offered, lacking_memory, select(bundle, requested, cache))


def _found(options: ModelOptions, running: ServedModel, offered: Offer, time_left: Time, left: Left) -> Found:
    """Measure all engines beside the one that runs.

    Raises:
        Halted: the server is stopping.
    """
    bundle, base = running.bundle, running.encoder.engine
    engines = (_engine(one, options) for one in offered.engines)
    candidates = Candidates(bundle, Cache(options.cache), lanes=1, lacking=_lacking(bundle, options, left))
    contest = Contest(base, running.encoder.score, tuple(one for one in engines if one != base), candidates.score_of)
    return tune_short(
        contest,
        parity_set.encoded(running.tokenizer, most=QUERIES, max_tokens_per_doc=DOCUMENT_TOKENS),
        limits=replace(_limits(options, None, base), max_length=bundle.manifest.max_tokens),
        pad_id=bundle.manifest.pad_id,
        time=time_left,
    )


def _lacking(bundle: Bundle, options: ModelOptions, left: Left) -> Lacking:
    """By the lanes that would serve: the engine that is chosen is loaded with them, beside the one that runs."""
    return lambda engine: lacking(bundle, engine, options.lanes or default_lanes(engine), left)


def _load(bundle: Bundle, options: ModelOptions, selection: Selection, cache: Cache) -> ServedModel:
    tuned, engine = selection.tuned, _engine(selection.engine, options)
    _log.debug("loading", engine=str(engine), why=selection.why)
    return build_model(
        bundle,
        limits=_limits(options, tuned, engine),
        engine=engine,
        graph=graph_for(bundle, engine, cache),
        lanes=options.lanes or (tuned.lanes if tuned else None),
        names=options.names,
        choice=selection.why,
        reason=selection.reason,
        cost=CostModel(tuned.cost) if tuned and tuned.cost else None,
        scores=ScoreCache(options.score_cache_bytes) if options.score_cache_bytes else None,
    )


def _engine(chosen: Engine, options: ModelOptions) -> Engine:
    """What was chosen, with CUDA graphs where the operator wants them."""
    return replace(chosen, cuda_graphs=options.cuda_graphs and chosen.provider is Provider.CUDA)


def _limits(options: ModelOptions, tuned: Tuned | None, engine: Engine) -> BatchLimits:
    said = {
        "max_tokens": options.max_batch_tokens,
        "max_pairs": options.max_batch_pairs,
        "length_multiple": options.length_multiple,
    }
    measured = {"max_tokens": tuned.max_batch_tokens} if tuned else {}
    if tuned and not engine.cuda_graphs:  # which want few lengths
        measured["length_multiple"] = tuned.length_multiple
    chosen = {name: said[name] or measured.get(name) for name in said}
    known = {name: value for name, value in chosen.items() if value is not None}
    return replace(default_limits(engine), **known)
