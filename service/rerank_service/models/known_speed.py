"""Speed of known models on this machine, estimated from a short measurement of a model that is here.

Rule: multiplications per second are taken as equal. Larger matrices run a little faster, and models with a special
attention, such as DeBERTa, run slower. So an estimate is good for a class of speed. `rerank bench` measures an exported
model.
"""

import math
import statistics
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.cgroup_limits import memory_limits
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import CONFIG, read_json
from rerank_service.models.known_models import KnownModel, attention_work
from rerank_service.models.loading import select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.throughput import throughput
from rerank_service.scheduling.batching import EncodedPair

TOKENS = 128
"""Tokens of a measured pair: a passage with a short query."""
_PAIRS = 16
"""Pairs for each lane."""
_ROUNDS = 3


class SpeedClass(StrEnum):
    """Time for the 100 candidates of a search, of 128 tokens each, without other load."""

    FAST = "fast"
    """At most 0.5 s."""
    MODERATE = "moderate"
    """At most 2 s."""
    SLOW = "slow"
    """At most 10 s."""
    BATCH = "batch only"
    """Longer: for `rerank batch`, or a GPU."""


_LEAST_RATES = {SpeedClass.FAST: 200.0, SpeedClass.MODERATE: 50.0, SpeedClass.SLOW: 10.0}
"""Minimum documents per second of the classes."""


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """A measured speed, and estimates from it for other models."""

    model: str
    engine: str
    documents_per_second: float
    """Pairs of 128 tokens, with all lanes."""
    work: float
    """Multiplications for such a pair."""

    def estimate(self, model: KnownModel) -> float:
        """Return the expected documents per second of a model on the same engine."""
        return self.documents_per_second * self.work / model.work(TOKENS)


def speed_class(documents_per_second: float) -> SpeedClass:
    """Return the class of a speed."""
    return next((name for name, least in _LEAST_RATES.items() if documents_per_second >= least), SpeedClass.BATCH)


def measure_speed(options: ModelOptions) -> MeasuredSpeed:
    """Load a model with the engine of the next start, and score pairs of 128 tokens for about a second.

    Raises:
        BundleInvalid: the model cannot be served.
        MemoryTooSmall: its weights exceed the memory limit.
    """
    selected = select_model(options)
    selected.check_memory(memory_limits())
    model, bundle, engine = selected.load(), selected.bundle, selected.selection.engine
    try:
        limits = options.batch_limits(bundle, engine, selected.selection.tuned)
        pairs = _pairs(model.tokenizer, _PAIRS * selected.lanes)

        def tokens_per_second() -> float:
            return throughput(model.encoder.score, pairs, limits, pad_id=bundle.manifest.pad_id, lanes=selected.lanes)

        rate = statistics.median(tokens_per_second() for _ in range(_ROUNDS))
    finally:
        model.scheduler.close()
    return MeasuredSpeed(model.info.name, str(engine), rate / len(pairs[0]), TOKENS * _work_per_token(bundle))


def _pairs(tokenizer: PairTokenizer, count: int) -> list[EncodedPair]:
    """Return pairs of 128 tokens."""
    query, text = tokenizer.encode_query("speed"), " document" * TOKENS
    [probe] = tokenizer.encode_documents(query, [text], max_tokens_per_doc=1)
    document = TOKENS - len(probe) + len(probe.document)
    return tokenizer.encode_documents(query, [text] * count, max_tokens_per_doc=document)


def _work_per_token(bundle: Bundle) -> float:
    config = _config(bundle.folder)
    layers, hidden_size = config.get("num_hidden_layers", 0), config.get("hidden_size", 0)
    return product_weights(bundle.graph) + attention_work(layers, hidden_size, TOKENS)


def _config(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / CONFIG)
    except BundleInvalid:
        return {}


def product_weights(graph: Path) -> int:
    """Return the number of weights in matrices that a graph multiplies with. Tables of embeddings are looked up."""
    import onnx

    nodes = onnx.load(graph, load_external_data=False).graph
    source = {node.output[0]: node.input[0] for node in nodes.node if node.op_type in ("Cast", "DequantizeLinear")}
    tables = {node.input[0] for node in nodes.node if node.op_type == "Gather"}
    tables |= {source[name] for name in tables if name in source}
    return sum(
        math.prod(tensor.dims) for tensor in nodes.initializer if len(tensor.dims) >= 2 and tensor.name not in tables
    )
