"""The memory of all models of a start, with weights that are holes in a file."""

from pathlib import Path

import pytest

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.loading import SelectedModel
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.startup import Selection
from rerank_service.models.variants.cache import Cache
from rerank_service.tools.doctor.finding import Finding
from rerank_service.tools.doctor.model import together_findings

_GB = 10**9


def _selected(folder: Path, small_model: Bundle, engine: Engine) -> SelectedModel:
    """Return a model with 1 GB of weights in fp16, which are inside its graph."""
    reference = small_model.manifest.variants[0].model_copy(update={"weights": "fp16"})
    bundle = Bundle(folder, small_model.manifest.model_copy(update={"variants": (reference,)}))
    with bundle.graph.open("wb") as file:
        file.truncate(_GB)
    options = ModelOptions(folder=folder, cache=folder, lanes=1)
    return SelectedModel(bundle, options, Selection(engine, "", ""), Cache(folder))


def _findings(models: list[SelectedModel], limit: int) -> list[Finding]:
    return list(together_findings(models, [MemoryLimit(Path("memory.max"), limit, limit, fatal=None)]))


@pytest.mark.parametrize(
    ("engine", "kept", "peak"),
    [
        (Engine(Provider.CUDA, Precision.FP16), 1.0, 5.75),
        (Engine(Provider.CPU, Precision.INT8), 1.0, 2.75),
        (Engine(Provider.CPU, Precision.FP32), 3.0, 3.0),
    ],
    ids=str,
)
def test_models_are_loaded_one_after_the_other(
    tmp_path: Path, small_model: Bundle, engine: Engine, kept: float, peak: float
) -> None:
    """So the memory of one derivation counts, whose graph may be in the cache already."""
    models = [_selected(tmp_path, small_model, engine)] * 3
    others = 3 * (64 + 32) * 2**20
    needed = int((2 * kept + peak) * _GB) + others
    assert _findings(models, needed) == []
    [found] = _findings(models, needed - 1)
    assert f"may need {needed // 10**6:,} MB together" in found.text
