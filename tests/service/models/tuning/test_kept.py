"""Tunings of real models: kept, found by the next start, and made again where they no longer hold."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rerank_service.engine.available import offer
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import ModelOptions, explain, load_better, load_selected, tune
from rerank_service.models.tuning import full
from rerank_service.models.tuning.record import Trial, Tuned, read
from rerank_service.models.tuning.startup import EngineRequest, select, tuning_key
from rerank_service.models.variants import derive
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import identity
from support.limits import batch_limits
from support.small import write_small_model

INT8 = Engine(Provider.CPU, Precision.INT8)
LIMITS = batch_limits()


def _options(folder: Path, cache: Path, requested: EngineRequest | None = None) -> ModelOptions:
    return ModelOptions(folder, cache, requested or EngineRequest(), tune_seconds=3600)  # no test of time


def _tuned(engine: Engine, **more: Any) -> Tuned:
    trial = Trial(provider=engine.provider, precision=engine.precision, tokens_per_second=1.0, verdict="fast")
    return Tuned(form="full", provider=engine.provider, precision=engine.precision, trials=(trial,), **more)


def test_the_first_start_is_exact(small_model: Bundle, tmp_path: Path) -> None:
    """What is not known to rank alike is not taken unasked."""
    selection = select(small_model, EngineRequest(), Cache(tmp_path))
    assert (selection.engine, selection.tuned) == (CPU_FP32, None)
    assert "not tuned on this machine yet" in selection.why


def test_what_was_asked_for_is_taken(starter: Bundle, tmp_path: Path) -> None:
    """Even int8, though it ranks less well than auto would allow."""
    requested = EngineRequest(precision=Precision.INT8)
    model = load_selected(_options(starter.folder, tmp_path, requested))
    assert (model.info.precision, model.info.provider) == ("int8", "CPUExecutionProvider")
    assert "asked for: provider auto, precision int8" in model.info.choice
    assert model.info.reason == "asked for: provider auto, precision int8"
    with pytest.raises(BundleInvalid, match="does not work here"):
        load_selected(_options(starter.folder, tmp_path, EngineRequest(Provider.CUDA)))


def test_what_was_tuned_is_found_by_the_next_start(starter: Bundle, tmp_path: Path) -> None:
    """Engine, lanes, limits, cost; what the operator says goes before."""
    cost = (0.001, 0.2, 0.0)
    tuned = _tuned(INT8, lanes=1, max_batch_tokens=1024, length_multiple=8, cost=cost)
    Cache(tmp_path).keep_tuning(tuning_key(starter, EngineRequest()), tuned.model_dump(mode="json"))
    model = load_selected(_options(starter.folder, tmp_path))
    assert model.encoder.engine == INT8
    assert model.info.choice == model.info.reason == "fast (full tuning)"
    limits = model.scheduler.limits
    assert (limits.max_tokens, limits.length_multiple, model.scheduler._lanes) == (1024, 8, 1)
    said = load_selected(replace(_options(starter.folder, tmp_path), max_batch_tokens=256, lanes=2))
    assert (said.scheduler.limits.max_tokens, said.scheduler._lanes) == (256, 2)


@pytest.mark.parametrize("provider", [Provider.CUDA, Provider.CPU, Provider.AUTO])
def test_a_remembered_engine_that_is_gone_is_not_insisted_on(
    small_model: Bundle, tmp_path: Path, provider: Provider
) -> None:
    """The choice was ours, not the operator's."""
    tuned = _tuned(Engine(provider, Precision.FP16))
    Cache(tmp_path).keep_tuning(tuning_key(small_model, EngineRequest()), tuned.model_dump(mode="json"))
    assert select(small_model, EngineRequest(), Cache(tmp_path)).engine == CPU_FP32


def test_a_model_that_no_engine_runs_is_said_to_be_none(small_model: Bundle, tmp_path: Path) -> None:
    """With what each engine said."""
    folder = shutil.copytree(small_model.folder, tmp_path / "plain")
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_text("no graph")
    with pytest.raises(BundleInvalid, match=r"no engine runs .*cpu fp32"):
        tune(_options(folder, tmp_path / "cache"), lambda _: None)


def test_a_record_of_another_form_counts_as_none() -> None:
    """Of a later version, say."""
    assert read({"form": "full"}) is None
    assert read(None) is None
    tuned = _tuned(INT8)
    assert read(tuned.model_dump(mode="json")) == tuned
    assert read(tuned.model_dump(mode="json") | {"lanes": 2**20}) is None


def test_tunings_of_different_wishes_are_kept_apart(small_model: Bundle, tmp_path: Path) -> None:
    """And those of different models, with a manifest or without."""
    other = write_small_model(tmp_path / "other")
    (other.folder / "manifest.json").unlink()
    keys = {
        tuning_key(bundle, requested)
        for bundle in (small_model, open_bundle(other.folder))
        for requested in (EngineRequest(), EngineRequest(Provider.CPU), EngineRequest(precision=Precision.INT8))
    }
    assert len(keys) == 6


def test_weights_beside_a_graph_are_part_of_what_it_is(starter: Bundle, tmp_path: Path) -> None:
    """Where no manifest says so: the same graph with other weights is another model."""
    folder = tmp_path / "plain"
    shutil.copytree(starter.folder, folder)
    (folder / "manifest.json").unlink()
    before = identity(open_bundle(folder))
    with (folder / "model.onnx.data").open("r+b") as weights:
        weights.write(b"other")
    assert identity(open_bundle(folder)) != before


def test_the_short_tuning_is_kept_and_not_done_twice(small_model: Bundle, tmp_path: Path) -> None:
    """Of a model that has one engine only, fp32 stays."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    running = load_selected(options)
    same = load_better(options, running, threading.Event())
    assert same is not None
    assert same.scheduler is running.scheduler
    assert "no product" in same.info.choice
    assert same.info.reason == "exact, and nothing faster ranks alike (short tuning)"
    assert load_better(options, running, threading.Event()) is None
    kept = Cache(tmp_path).tuning(tuning_key(small_model, options.requested))
    assert kept is not None
    assert any("no product with constant weights" in one for one in kept["skipped"])
    assert "no product" in load_selected(options).info.choice

    halted = threading.Event()
    halted.set()
    assert load_better(_options(small_model.folder, tmp_path / "other"), running, halted) is None
    assert not (tmp_path / "other" / "tuning").exists()


def test_an_engine_without_memory_is_not_loaded(small_model: Bundle, tmp_path: Path) -> None:
    """The reason is in the list, and it is remembered: the limit is part of the key."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    same = load_better(options, load_selected(options), threading.Event(), left=lambda: 50 * 10**6)
    assert same is not None
    assert "cpu int8: needs about 100 MB, and the memory limit leaves 50 MB" in same.info.choice
    assert load_better(options, same, threading.Event()) is None


def test_the_full_tuning_leaves_out_what_memory_does_not_allow(small_model: Bundle, tmp_path: Path) -> None:
    """fp32 is loaded whatever is left: the server needs it, too."""
    options = replace(_options(small_model.folder, tmp_path, EngineRequest(Provider.CPU)), lanes=1)
    tuned, _ = tune(options, lambda _: None, left=lambda: 0)
    assert tuned.engine == CPU_FP32
    assert [one for one in tuned.skipped if "needs about" in one] == [
        "cpu int8: needs about 100 MB, and the memory limit leaves 0 MB"
    ]


def test_what_fails_for_want_of_memory_is_tried_again_by_the_next_start(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and not kept."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    running = load_selected(options)
    with monkeypatch.context() as patch:
        patch.setitem(derive._REWRITES, "rows-1", lambda: _no_memory)
        same = load_better(options, running, threading.Event())
    assert same is not None
    assert "cannot be rewritten" in same.info.choice
    assert Cache(tmp_path).tuning(tuning_key(small_model, options.requested)) is None
    assert load_better(options, running, threading.Event()) is not None


def _no_memory(_model: object) -> int:
    raise MemoryError


def test_the_engines_are_explained_without_measuring(small_model: Bundle, tmp_path: Path) -> None:
    """Before a tuning, and after it."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    before = explain(options, left=lambda: 0)
    assert before.selection.tuned is None
    assert before.offered == offer(Provider.CPU, Precision.AUTO)
    assert before.lacking[INT8] == "needs about 100 MB, and the memory limit leaves 0 MB"
    load_better(options, load_selected(options), threading.Event())
    after = explain(options)
    assert after.selection.tuned is not None
    assert after.selection.engine == CPU_FP32
    assert after.lacking == {}


def test_the_full_tuning_measures_settings_of_the_engine_it_chose(small_model: Bundle, tmp_path: Path) -> None:
    """And keeps cost, lanes and limits for the next start."""
    here = full.machine(small_model, Cache(tmp_path), LIMITS, lanes=2)
    told: list[str] = []
    tuned = full.tune_full(here, offer(Provider.CPU, Precision.FP32), told.append)
    assert tuned.engine == CPU_FP32
    assert {setting.max_batch_tokens for setting in tuned.settings} >= {256, 512, 1024, 2048}
    assert {setting.length_multiple for setting in tuned.settings} >= {1, 4, 8, 16}
    assert {setting.lanes for setting in tuned.settings} == {1, 2}
    assert tuned.lanes in (1, 2)
    assert tuned.cost is not None
    assert told[0] == "loading the engines"
