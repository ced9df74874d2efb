"""Engines that a start refuses, although they are fast: they do not run, or they fail the golden pairs."""

import threading
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from structlog.testing import capture_logs

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.version_loading import VersionLoader
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.files import TOKENIZER
from rerank_service.models.golden_pairs import GoldenPair, write_golden_pairs
from rerank_service.models.loading import load_on, load_selected, select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning import improve
from rerank_service.models.tuning.engine_choice import TuningOutcome
from rerank_service.models.tuning.full_run import tune
from rerank_service.models.tuning.improve import FasterModel, SameEngine
from rerank_service.models.tuning.record import TuningRecord
from rerank_service.models.tuning.startup import EngineRequest, tuning_key, untuned
from rerank_service.models.variants.cache import Cache
from rerank_service.tools.doctor.finding import Status
from rerank_service.tools.doctor.model import model_findings
from support.faster_models import load_faster
from support.small import logit, write_small_model

_INT8 = Engine(Provider.CPU, Precision.INT8)
_CPU = EngineRequest(Provider.CPU)


def _int8_with_other_logits(folder: Path) -> Bundle:
    """Write a bundle whose graph for int8 gives twice the logit, which ranks alike and fails the golden pair."""
    bundle = write_small_model(folder, broken_int8=True)
    graph = onnx.load(bundle.graph)
    worth = graph.graph.initializer[0]
    worth.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(worth), worth.name))
    onnx.save(graph, folder / "broken.onnx")
    write_golden_pairs(folder, [GoldenPair(query="q", document="30", logit=logit("30"))])
    return write_manifest(folder, bundle.manifest)


def _tuned_for_int8(bundle: Bundle, cache: Path, requested: EngineRequest = _CPU) -> ModelOptions:
    """Store a tuning that chose int8, and return the options of the next start."""
    record = TuningRecord(form="full", provider=_INT8.provider, precision=_INT8.precision, trials=())
    Cache(cache).store_tuning(tuning_key(bundle, requested), record.model_dump(mode="json"))
    return ModelOptions(folder=bundle.folder, cache=cache, requested=requested, lanes=1)


def _warnings(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [log for log in logs if log["log_level"] == "warning"]


@pytest.mark.parametrize("golden", [False, True], ids=["does not run", "other logits"])
def test_a_start_without_the_engine_of_its_tuning(tmp_path: Path, *, golden: bool) -> None:
    """It serves on fp32, and says why. `rerank doctor` says it, too."""
    folder = tmp_path / "model"
    bundle = _int8_with_other_logits(folder) if golden else write_small_model(folder, broken_int8=True)
    options = _tuned_for_int8(bundle, tmp_path / "cache")
    with capture_logs() as logs:
        model = load_selected(options)
    assert model.encoder.engine == CPU_FP32
    assert model.info.reason == "cpu int8, which a tuning chose, does not load"
    [warning] = _warnings(logs)
    assert (warning["event"], warning["engine"], warning["used"]) == ("tuned engine not used", "cpu int8", "cpu fp32")
    assert warning["why"] == model.info.explanation
    *_, loaded = model_findings("model", select_model(options), (), loads=True)
    assert (loaded.status, loaded.text) == (Status.SLOW, f"loaded on cpu fp32, because {model.info.explanation}")


async def test_room_is_made_for_each_engine_that_is_tried(tmp_path: Path) -> None:
    """The other engine may need more memory than that of the tuning."""
    tuned, full = _tuned_for_int8(write_small_model(tmp_path / "tuned", broken_int8=True), tmp_path / "cache"), 10**9
    asked: list[str] = []

    async def no_room() -> bool:
        asked.append("room")
        return False

    loader = VersionLoader(lambda _: tuned, read_limits=lambda: (MemoryLimit(Path("/memory.max"), full, 0, full),))
    version = await loader.load(ModelEntry(folder=tuned.folder, place="test"), "", no_room)
    assert version is not None
    assert (version.model.encoder.engine, version.model.refused) == (CPU_FP32, _INT8)
    assert asked == ["room", "room"]


def test_a_requested_engine_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    """The settings allow no other one."""
    bundle = write_small_model(tmp_path / "model", broken_int8=True)
    options = _tuned_for_int8(bundle, tmp_path / "cache", EngineRequest(Provider.CPU, Precision.INT8))
    with pytest.raises(BundleInvalid, match="out of data bounds"):
        load_selected(options)


def test_a_changed_folder_is_not_taken_for_an_engine_that_fails(tmp_path: Path) -> None:
    """The error says that the folder was changed."""
    bundle = write_small_model(tmp_path / "model", broken_int8=True)
    selected = select_model(_tuned_for_int8(bundle, tmp_path / "cache"))
    with (bundle.folder / TOKENIZER).open("a") as file:
        file.write(" ")
    with capture_logs() as logs, pytest.raises(BundleInvalid, match="was changed while the model was loaded"):
        selected.load()
    assert _warnings(logs) == []


@pytest.mark.parametrize("full", [False, True], ids=["at start", "rerank tune"])
def test_a_tuning_does_not_choose_an_engine_that_fails_the_golden_pairs(tmp_path: Path, *, full: bool) -> None:
    """A start would refuse it. The next start does not measure it again."""
    folder = _int8_with_other_logits(tmp_path / "model").folder
    options = ModelOptions(folder=folder, cache=tmp_path / "cache", requested=_CPU, lanes=1)
    if full:
        tuned, _ = tune(options, lambda _: None)
        explanation = tuned.explanation()
    else:
        running = load_selected(options)
        same = load_faster(options, running, threading.Event())
        assert isinstance(same, SameEngine)
        explanation = same.info.explanation
    assert "cpu int8: " in explanation
    assert "does not score on cpu int8 as it did at export" in explanation
    record = select_model(options).selection.tuned
    assert record is not None
    assert (record.engine, record.provisional) == (CPU_FP32, False)


def test_an_engine_that_fails_the_golden_pairs_is_tuned_away(tmp_path: Path) -> None:
    """Else each start would load it, fail, and fail again in the background."""
    options = _tuned_for_int8(_int8_with_other_logits(tmp_path / "model"), tmp_path / "cache")
    assert isinstance(load_faster(options, load_selected(options), threading.Event()), SameEngine)
    with capture_logs() as logs:
        running = load_selected(options)
    assert (running.encoder.engine, running.refused, _warnings(logs)) == (CPU_FP32, None, [])
    assert load_faster(options, running, threading.Event()) is None


def test_an_engine_that_failed_once_keeps_its_tuning(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of `rerank tune` has more than that of the new tuning, which chooses the same engine."""
    options = _tuned_for_int8(starter, tmp_path)
    before = select_model(options).selection
    selection = untuned(starter, options.requested)
    running = replace(load_on(starter, options, selection, Cache(tmp_path)), refused=_INT8)
    monkeypatch.setattr(improve, "_tune", lambda *_: TuningOutcome(_INT8, (), ()))
    improved = load_faster(options, running, threading.Event())
    assert isinstance(improved, FasterModel)
    assert improved.model.encoder.engine == _INT8
    assert select_model(options).selection == before
