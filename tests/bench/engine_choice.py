"""Choose the engine of this server and its bare engine.

It is the choice of `auto` for the bundled model: tuning needs meaningful rankings, and the benchmark's model has random
weights.
"""

import os

from bench.environments import Say
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import STARTER
from rerank_service.models.tuning.full_run import tune
from rerank_service.models.tuning.record import TuningRecord
from rerank_service.models.tuning.startup import cached_tuning
from rerank_service.models.variants.cache import Cache
from rerank_service.settings import Settings
from rerank_service.wiring import single_model_options

_CHOOSING = ("RERANK_PROVIDER", "RERANK_PRECISION")
TUNED_VARIABLES = (*_CHOOSING, "RERANK_LANES", "RERANK_MAX_BATCH_TOKENS", "RERANK_LENGTH_MULTIPLE")
"""Variables of the server that hold the choice of `auto`."""


def choose_engine(say: Say) -> None:
    """Set the RERANK_… variables of the engine, unless the caller has set a provider or a precision."""
    os.environ["RERANK_TUNE"] = "off"
    if any(name in os.environ for name in _CHOOSING):
        return
    tuned = _tuned(say)
    chosen = {
        "PROVIDER": tuned.provider.value,
        "PRECISION": tuned.precision.value,
        "LANES": tuned.lanes,
        "MAX_BATCH_TOKENS": tuned.max_batch_tokens,
        "LENGTH_MULTIPLE": tuned.length_multiple,
    }
    for name, value in chosen.items():
        if value is not None:
            os.environ.setdefault(f"RERANK_{name}", str(value))
    say(f"auto chose {tuned.engine} for the bundled model: {tuned.explanation()}")


def _tuned(say: Say) -> TuningRecord:
    options = single_model_options(Settings(model=STARTER))
    known = cached_tuning(open_bundle(STARTER), options.requested, Cache(options.cache))
    return known if known is not None and known.form == "full" else tune(options, say)[0]
