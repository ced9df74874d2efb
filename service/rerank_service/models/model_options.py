"""The settings of a model, and what follows from them for an engine."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from rerank_service.engine.batch_defaults import default_lanes, default_limits, exact_multiple
from rerank_service.engine.kinds import Engine, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.served_model import Names
from rerank_service.models.tuning.record import TuningRecord
from rerank_service.models.tuning.startup import EngineRequest
from rerank_service.scheduling.batching import BatchLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The model to load, and how to run it. None: the tuned value, else the default of the engine."""

    folder: Path
    """The model folder."""
    digest: str | None = None
    """`Bundle.digest` that the bundle must have. None: any."""
    cache: Path
    """Folder for derived graphs and tunings."""
    requested: EngineRequest = field(default_factory=EngineRequest)
    lanes: int | None = None
    """Number of batches that run at once."""
    max_batch_tokens: int | None = None
    """Maximum padded tokens of a batch."""
    length_multiple: int | None = None
    """Pad batches to a multiple of so many tokens."""
    max_batch_pairs: int | None = None
    cuda_graphs: bool = False
    """Use CUDA graphs. Ignored by other providers."""
    names: Names = field(default_factory=Names)
    score_cache_bytes: int = 0
    """Memory for the score cache; 0: no cache."""
    tune_seconds: float = math.inf
    """Maximum seconds of a tuning in the background."""

    def with_cuda_graphs(self, engine: Engine) -> Engine:
        """Return an engine, with CUDA graphs if they are set and the engine is CUDA."""
        return replace(engine, cuda_graphs=self.cuda_graphs and engine.provider is Provider.CUDA)

    def batch_limits(self, bundle: Bundle, engine: Engine, tuned: TuningRecord | None = None) -> BatchLimits:
        """Return the batch limits on an engine: the settings, else the tuned values, else the defaults.

        Rows are not padded beyond the token limit of the model. The length multiple is at least `exact_multiple`.
        """
        limits: dict[str, int] = {}
        if tuned and tuned.max_batch_tokens and not engine.cuda_graphs:  # CUDA graphs need small batches
            limits["max_tokens"] = tuned.max_batch_tokens
        if tuned and tuned.length_multiple and not engine.cuda_graphs:  # and few different lengths
            limits["length_multiple"] = tuned.length_multiple
        settings = {
            "max_tokens": self.max_batch_tokens,
            "max_pairs": self.max_batch_pairs,
            "length_multiple": self.length_multiple,
        }
        limits |= {name: value for name, value in settings.items() if value}
        manifest = bundle.manifest
        defaults = default_limits(engine, shares_prefixes=manifest.shares_prefixes)
        chosen = replace(defaults, max_length=manifest.max_tokens, **limits)
        return replace(chosen, length_multiple=exact_multiple(engine, chosen.length_multiple))

    def without_fixed(self, tuned: TuningRecord) -> TuningRecord:
        """Return a tuning with these options without the batch values that they fix.

        A start without them uses its defaults, because the search started from the fixed values. They are not part of
        the key of a tuning, because commands that have no such setting, and entries of a models file with other ones,
        use the chosen engine as well.
        """
        fixed = {name: None for name in ("lanes", "max_batch_tokens", "length_multiple") if getattr(self, name)}
        return tuned.model_copy(update=fixed)

    def lanes_on(self, engine: Engine, tuned: TuningRecord | None = None) -> int:
        """Return the number of lanes on an engine: the setting, else the tuned number, else the default of the engine.

        The tuned number counts only for the engine that the tuning chose.
        """
        if self.lanes:
            return self.lanes
        if tuned and tuned.lanes and (tuned.provider, tuned.precision) == (engine.provider, engine.precision):
            return tuned.lanes
        return default_lanes(engine)
