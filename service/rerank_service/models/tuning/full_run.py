"""Tune a model fully and keep the result for the next start."""

from rerank_service.engine.available import available_engines
from rerank_service.engine.cgroup_limits import memory_left as cgroup_memory_left
from rerank_service.engine.host import limit_tokenizer_threads
from rerank_service.models.bundle import open_bundle
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.full import ReportProgress, tune_full
from rerank_service.models.tuning.memory_estimate import MemoryLeft, memory_check
from rerank_service.models.tuning.record import TuningRecord, reference_engine
from rerank_service.models.tuning.startup import runnable_request, tuning_key
from rerank_service.models.tuning.tuning_input import TuningInput
from rerank_service.models.variants.cache import Cache


def tune(
    options: ModelOptions, report_progress: ReportProgress, memory_left: MemoryLeft = cgroup_memory_left
) -> tuple[TuningRecord, bool]:
    """Measure engines and batch settings, and store a record. Returns it, and whether it was stored. Takes minutes.

    The record has no values that the options fix (`ModelOptions.without_fixed`).

    Raises:
        BundleInvalid: the model cannot be served, or its files changed meanwhile. Nothing is kept.
    """
    limit_tokenizer_threads()
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    requested = runnable_request(bundle, options.requested)
    key = tuning_key(bundle, requested)  # before the measurements: a hub folder may change meanwhile
    available = available_engines(requested.provider, requested.precision)
    base = reference_engine(available.engines)
    lanes = options.lanes_on(base)
    model = TuningInput.read(bundle, cache, lambda engine: options.batch_limits(bundle, engine), lanes=lanes)
    # all engines are measured with the lanes of the base
    check = memory_check(bundle, lambda _: lanes, memory_left, base)
    record = options.without_fixed(tune_full(model, available, report_progress, check))
    bundle.check_unchanged("during the tuning: tune again")
    return record, cache.store_tuning(key, record.model_dump(mode="json"))
