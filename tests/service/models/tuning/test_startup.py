"""The choice of the engine at start, and the key of a cached tuning."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.tuning.record import EngineMeasurement, TuningRecord, parse_record
from rerank_service.models.tuning.startup import EngineRequest, select, tuning_key
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import identity
from support.small import write_small_model

INT8 = Engine(Provider.CPU, Precision.INT8)


def _tuned(engine: Engine, **more: Any) -> TuningRecord:
    trial = EngineMeasurement(
        provider=engine.provider, precision=engine.precision, tokens_per_second=1.0, verdict="fast"
    )
    return TuningRecord(form="full", provider=engine.provider, precision=engine.precision, trials=(trial,), **more)


def test_first_start_uses_fp32(small_model: Bundle, tmp_path: Path) -> None:
    """Other engines are used only after a tuning or on request."""
    selection = select(small_model, EngineRequest(), Cache(tmp_path))
    assert (selection.engine, selection.tuned) == (CPU_FP32, None)
    assert "not tuned on this machine yet" in selection.explanation


@pytest.mark.parametrize("provider", [Provider.CUDA, Provider.CPU, Provider.AUTO])
def test_cached_engine_that_no_longer_works_is_ignored(small_model: Bundle, tmp_path: Path, provider: Provider) -> None:
    """The tuning chose it, not the operator."""
    tuned = _tuned(Engine(provider, Precision.FP16))
    Cache(tmp_path).store_tuning(tuning_key(small_model, EngineRequest()), tuned.model_dump(mode="json"))
    assert select(small_model, EngineRequest(), Cache(tmp_path)).engine == CPU_FP32


def test_each_request_and_model_has_its_own_tuning_key(small_model: Bundle, tmp_path: Path) -> None:
    """Models with a manifest and without one."""
    other = write_small_model(tmp_path / "other")
    (other.folder / "manifest.json").unlink()
    keys = {
        tuning_key(bundle, requested)
        for bundle in (small_model, open_bundle(other.folder))
        for requested in (EngineRequest(), EngineRequest(Provider.CPU), EngineRequest(precision=Precision.INT8))
    }
    assert len(keys) == 6


def test_record_of_another_format_is_ignored() -> None:
    """For example of a later version."""
    assert parse_record({"form": "full"}) is None
    assert parse_record(None) is None
    tuned = _tuned(INT8)
    assert parse_record(tuned.model_dump(mode="json")) == tuned
    assert parse_record(tuned.model_dump(mode="json") | {"lanes": 2**20}) is None


def test_identity_of_a_hub_folder_covers_the_weights(starter: Bundle, tmp_path: Path) -> None:
    """The same graph with other weights is another model."""
    folder = tmp_path / "plain"
    shutil.copytree(starter.folder, folder)
    (folder / "manifest.json").unlink()
    before = identity(open_bundle(folder))
    with (folder / "model.onnx.data").open("r+b") as weights:
        weights.write(b"other")
    assert identity(open_bundle(folder)) != before
