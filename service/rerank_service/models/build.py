"""Build a served model from a bundle: session, tokenizer, scheduler, warm-up."""

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.kinds import CPU_FP32, Engine
from rerank_service.engine.runtime import Graph
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.served_model import ModelInfo, Names, ServedModel
from rerank_service.models.warm_up import short_pair, warm_up
from rerank_service.rust_panics import RustPanic, panics_as_errors
from rerank_service.scheduling.batch_run import WrapScore
from rerank_service.scheduling.batching import BatchLimits, EncodedPair
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.score_cache import ScoreCache


def build_model(
    bundle: Bundle,
    *,
    limits: BatchLimits,
    lanes: int,
    engine: Engine = CPU_FP32,
    graph: Graph | None = None,
    names: Names | None = None,
    explanation: str = "",
    reason: str = "",
    cost: CostModel | None = None,
    scores: ScoreCache | None = None,
    wrap_score: WrapScore | None = None,
) -> ServedModel:
    """Load a bundle and warm it up. Blocks.

    - `limits`: batch limits of the engine, with the token limit of the model.
    - `graph`: the graph that the engine runs; None: the reference graph of the bundle.
    - `lanes`: number of batches that run at once.
    - `explanation`, `reason`: see `ModelInfo`.
    - `cost`: a cost model that already knows the speed of batches.
    - `scores`: cache of logits for later requests.
    - `wrap_score`: returns the score function of the scheduler. The warm-up calls the model's own.

    Raises:
        BundleInvalid: the bundle cannot be served.
    """
    manifest = bundle.manifest
    encoder = CrossEncoder(graph or bundle.graph, engine, lanes=lanes, output=manifest.output_form)
    cost = cost or CostModel()
    try:
        with panics_as_errors():
            tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
            short = _warm_up(bundle, encoder, tokenizer, cost, limits)
    except RustPanic as error:
        raise BundleInvalid(f"{bundle.tokenizer} cannot be used: {error}") from error
    score = wrap_score(encoder.score) if wrap_score else encoder.score
    info = _info(bundle, encoder, limits, names or Names(), lanes=lanes, explanation=explanation, reason=reason)
    scheduler = Scheduler(
        score, limits, pad_id=manifest.pad_id, lanes=lanes, cost=cost, scores=scores, short=short, model=info.name
    )
    return ServedModel(
        info=info,
        bundle=bundle,
        tokenizer=tokenizer,
        encoder=encoder,
        scheduler=scheduler,
        activation=manifest.activation,
        calibration=manifest.calibration,
    )


def _warm_up(
    bundle: Bundle, encoder: CrossEncoder, tokenizer: PairTokenizer, cost: CostModel, limits: BatchLimits
) -> EncodedPair:
    """Warm up, and return a short pair that the model has scored."""
    try:
        warm_up(encoder, tokenizer, cost, pad_id=bundle.manifest.pad_id, limits=limits)
    except BundleInvalid as error:
        raise BundleInvalid(f"{bundle.graph}: {error}") from error
    return short_pair(tokenizer)


def _info(
    bundle: Bundle,
    encoder: CrossEncoder,
    limits: BatchLimits,
    names: Names,
    *,
    lanes: int,
    explanation: str,
    reason: str,
) -> ModelInfo:
    manifest = bundle.manifest
    return ModelInfo(
        name=names.name or manifest.name,
        aliases=names.aliases,
        source=manifest.source,
        revision=manifest.revision,
        digest=bundle.digest,
        precision=bundle.precision if bundle.is_quantized else encoder.engine.precision.value,
        provider=encoder.provider,
        explanation=explanation,
        reason=reason or explanation,
        max_tokens=manifest.max_tokens,
        max_batch_tokens=limits.max_tokens,
        lanes=lanes,
        takes_instruction=manifest.takes_instruction,
        calibration=str(manifest.calibration or ""),
        verdict=bundle.verdict,
    )
