"""Load a model on the engine that the settings request, an earlier tuning chose, or the safe default."""

from collections.abc import Callable, Sequence

import structlog

from rerank_service.engine.cgroup_limits import MemoryLimit, memory_limits
from rerank_service.errors import BundleInvalid
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.golden_check import check_golden
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.start_memory import check_memory
from rerank_service.models.tuning.startup import Selection, runnable_request, select
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.score_cache import ScoreCache

_log = structlog.get_logger()


def load_selected(
    options: ModelOptions, read_limits: Callable[[], Sequence[MemoryLimit]] = memory_limits
) -> ServedModel:
    """Load the model on the engine that `select` chooses. Blocks.

    Raises:
        BundleInvalid: the model cannot be served, or has another digest than the options require.
        MemoryTooSmall: its weights exceed the memory limit.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    _check_digest(bundle, options.digest)
    selection = select(bundle, runnable_request(bundle, options.requested), cache)
    check_memory(bundle, selection.engine, options.lanes_on(selection.engine, selection.tuned), read_limits())
    return load_on(bundle, options, selection, cache)


def load_on(bundle: Bundle, options: ModelOptions, selection: Selection, cache: Cache) -> ServedModel:
    """Load a bundle on a selected engine, and check it by its golden pairs. Blocks.

    Raises:
        BundleInvalid: the model cannot be served on this engine, or scores its golden pairs differently.
    """
    tuned, engine = selection.tuned, options.with_cuda_graphs(selection.engine)
    _log.debug("loading", engine=str(engine), why=selection.explanation)
    model = build_model(
        bundle,
        limits=options.batch_limits(bundle, engine, tuned),
        engine=engine,
        graph=graph_for(bundle, engine, cache),
        lanes=options.lanes_on(engine, tuned),
        names=options.names,
        explanation=selection.explanation,
        reason=selection.reason,
        cost=CostModel(tuned.cost) if tuned and tuned.cost else None,
        scores=ScoreCache(options.score_cache_bytes) if options.score_cache_bytes else None,
    )
    check_golden(model)
    return model


def _check_digest(bundle: Bundle, required: str | None) -> None:
    if required is not None and bundle.digest != required:
        found = f"the digest {bundle.digest}" if bundle.digest else "no digest, because it has no manifest"
        raise BundleInvalid(
            f"{bundle.folder} has {found}, but {required} is required: change the required digest (--model-digest, or "
            "digest in the models file), or put the right bundle there"
        )
