"""The part of a job's identity that belongs to the model: its files, its engine, and the size of batches."""

from rerank_service.engine.kinds import Engine
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.startup import runnable_request, select
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import identity
from rerank_service.scheduling.batching import BatchLimits


def model_identity(model: ServedModel) -> dict[str, str]:
    """Return what the scores of a loaded model depend on."""
    return _identity(model.bundle, model.encoder.engine, model.scheduler.limits)


def selected_identity(options: ModelOptions) -> dict[str, str]:
    """Return what the scores of a model will depend on, without loading it.

    Raises:
        BundleInvalid: the model cannot be served.
    """
    bundle = open_bundle(options.folder)
    selection = select(bundle, runnable_request(bundle, options.requested), Cache(options.cache))
    engine = options.with_cuda_graphs(selection.engine)
    return _identity(bundle, engine, options.batch_limits(bundle, engine, selection.tuned))


def _identity(bundle: Bundle, engine: Engine, limits: BatchLimits) -> dict[str, str]:
    return {
        "model": f"{bundle.manifest.name} {bundle.digest or identity(bundle)}",
        "engine": str(engine),
        "size of batches": f"{limits.max_tokens} tokens, {limits.max_pairs} pairs, lengths by {limits.length_multiple}",
    }
