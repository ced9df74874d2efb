"""Tune real models, cache the result, and start with it. Covers loading, improve, full_run and explain."""

import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from rerank_service import __main__ as entry
from rerank_service.engine.available import AvailableEngines, available_engines
from rerank_service.engine.host import usable_cores
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.loading import load_selected, select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning import improve, memory_estimate
from rerank_service.models.tuning.engine_choice import TuningOutcome
from rerank_service.models.tuning.explain import explain
from rerank_service.models.tuning.full import tune_full
from rerank_service.models.tuning.full_run import tune
from rerank_service.models.tuning.improve import FasterModel, ImproveOnce, SameEngine, choose_faster
from rerank_service.models.tuning.memory_estimate import memory_shortage
from rerank_service.models.tuning.record import EngineMeasurement, TuningRecord, parse_record
from rerank_service.models.tuning.startup import EngineRequest, tuning_key
from rerank_service.models.tuning.tuning_input import TuningInput
from rerank_service.models.variants import derive
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.recipes import INT8_ROWS
from rerank_service.scheduling.batching import Batch
from rerank_service.tools.doctor.finding import Status
from rerank_service.tools.doctor.model import model_findings
from support.faster_models import load_faster
from support.hub_folder import edit_graph, write_hub_folder
from support.limits import batch_limits
from support.small import write_small_model

INT8 = Engine(Provider.CPU, Precision.INT8)
LIMITS = batch_limits()


def _options(folder: Path, cache: Path, requested: EngineRequest | None = None) -> ModelOptions:
    return ModelOptions(folder=folder, cache=cache, requested=requested or EngineRequest())  # without a time limit


def _tuned(engine: Engine, **more: Any) -> TuningRecord:
    trial = EngineMeasurement(
        provider=engine.provider, precision=engine.precision, tokens_per_second=1.0, verdict="fast"
    )
    return TuningRecord(form="full", provider=engine.provider, precision=engine.precision, trials=(trial,), **more)


def test_requested_engine_is_used(starter: Bundle, tmp_path: Path) -> None:
    """int8 is used on request, even if `auto` would not choose it."""
    requested = EngineRequest(precision=Precision.INT8)
    model = load_selected(_options(starter.folder, tmp_path, requested))
    assert (model.info.precision, model.encoder.engine) == (
        "int8",
        available_engines(Provider.AUTO, INT8.precision).engines[0],
    )
    assert "requested: provider auto, precision int8" in model.info.explanation
    assert model.info.reason == "requested: provider auto, precision int8"
    with pytest.raises(BundleInvalid, match="does not work here"):
        load_selected(_options(starter.folder, tmp_path, EngineRequest(Provider.CUDA)))


def test_next_start_uses_the_tuned_values(starter: Bundle, tmp_path: Path) -> None:
    """Engine, lanes, limits and cost. Settings take precedence."""
    cost = (0.001, 0.2, 0.0)
    tuned = _tuned(INT8, lanes=1, max_batch_tokens=1024, length_multiple=8, cost=cost)
    Cache(tmp_path).store_tuning(tuning_key(starter, EngineRequest()), tuned.model_dump(mode="json"))
    model = load_selected(_options(starter.folder, tmp_path))
    assert model.encoder.engine == INT8
    assert model.info.explanation == model.info.reason == "fast (full tuning)"
    limits = model.scheduler.limits
    assert (limits.max_tokens, limits.length_multiple, model.scheduler.lanes) == (1024, 8, 1)
    explicit = load_selected(replace(_options(starter.folder, tmp_path), max_batch_tokens=256, lanes=2))
    assert (explicit.scheduler.limits.max_tokens, explicit.scheduler.lanes) == (256, 2)


def test_model_that_no_engine_runs_is_an_error(small_model: Bundle, tmp_path: Path) -> None:
    """The message has the reason of each engine."""
    folder = shutil.copytree(small_model.folder, tmp_path / "plain")
    (folder / "manifest.json").unlink()
    edit_graph(folder, lambda model: setattr(model.graph.node[0], "op_type", "Unknown"))
    with pytest.raises(BundleInvalid, match=r"no engine runs .*cpu fp32"):
        tune(_options(folder, tmp_path / "cache"), lambda _: None)


def test_short_tuning_runs_once(small_model: Bundle, tmp_path: Path) -> None:
    """The result is cached. A model with fp32 only stays on fp32."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    running = load_selected(options)
    same = load_faster(options, running, threading.Event())
    assert isinstance(same, SameEngine)
    assert "no product" in same.info.explanation
    assert same.info.reason == "exact, and no faster engine matches its ranking (short tuning)"
    assert load_faster(options, running, threading.Event()) is None
    kept = Cache(tmp_path).tuning(tuning_key(small_model, options.requested))
    assert kept is not None
    assert any("no product with constant weights" in reason for reason in kept["skipped"])
    assert "no product" in load_selected(options).info.explanation

    halted = threading.Event()
    halted.set()
    assert load_faster(_options(small_model.folder, tmp_path / "other"), running, halted) is None
    assert not (tmp_path / "other" / "tuning").exists()


def test_each_version_of_a_model_is_tuned_once(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a version of a hub folder, which has no digest; and again if another engine is requested."""
    tuned: list[EngineRequest] = []
    monkeypatch.setattr(improve, "choose_faster", lambda options, *_: tuned.append(options.requested))
    hub = Path(shutil.copytree(small_model.folder, tmp_path / "hub"))
    (hub / "manifest.json").unlink()
    requests = {"exact": EngineRequest(Provider.CPU, Precision.FP32), "any": EngineRequest()}
    once = ImproveOnce(lambda entry: _options(hub, tmp_path, requests[entry.aliases[0]]))
    exact, any_engine = (ModelEntry(folder=hub, place="", aliases=(name,)) for name in requests)
    running, go_on = load_selected(_options(hub, tmp_path)), threading.Event()
    for each in (exact, exact, any_engine, any_engine):
        once(each, running, go_on)
    assert tuned == list(requests.values())
    edit_graph(hub, lambda model: setattr(model, "doc_string", "a new version"))
    once(any_engine, load_selected(_options(hub, tmp_path)), go_on)
    assert len(tuned) == 3


def test_tuning_of_another_process_is_used(starter: Bundle, tmp_path: Path) -> None:
    """It ended after this process had loaded the model."""
    options = _options(starter.folder, tmp_path)
    running = load_selected(options)
    assert running.encoder.engine == CPU_FP32
    record = _tuned(INT8).model_dump(mode="json")
    Cache(tmp_path).store_tuning(tuning_key(starter, options.requested), record)
    assert load_faster(options, running, threading.Event(), memory_left=lambda: 0) is None
    faster = load_faster(options, running, threading.Event())
    assert isinstance(faster, FasterModel)
    assert faster.model.encoder.engine == INT8
    assert load_faster(options, faster.model, threading.Event()) is None


def test_chosen_engine_without_memory_is_kept_for_the_next_load(
    starter: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model may have been loaded during the tuning. The next load needs memory for one engine only."""
    monkeypatch.setattr(improve, "_tune", lambda *_: TuningOutcome(INT8, _tuned(INT8).trials, ()))
    options = _options(starter.folder, tmp_path, EngineRequest(Provider.CPU))
    left = 10**9
    load = choose_faster(options, load_selected(options), threading.Event(), memory_left=lambda: left)
    assert load is not None
    left = 0
    with capture_logs() as logs:
        assert load() is None
    assert [(log["event"], log["engine"], log.get("next")) for log in logs if log["log_level"] != "debug"] == [
        ("chosen engine not loaded", "cpu int8", "the model stays on cpu fp32 until it is loaded again"),
        ("tuned", "cpu int8", None),
    ]
    assert load_selected(options).encoder.engine == INT8


def test_engine_that_exceeds_the_memory_limit_is_not_loaded(small_model: Bundle, tmp_path: Path) -> None:
    """The next start tries it again: the memory that is left depends on what else runs."""
    options = replace(_options(small_model.folder, tmp_path, EngineRequest(Provider.CPU)), lanes=1)
    running = load_selected(options)
    same = load_faster(options, running, threading.Event(), memory_left=lambda: 50 * 10**6)
    assert isinstance(same, SameEngine)
    assert "cpu int8: needs about 100 MB, and the memory limit leaves 50 MB" in same.info.explanation
    assert same.info.reason.startswith("exact; not decided: cpu int8 not measured")
    again = load_faster(options, running, threading.Event())
    assert isinstance(again, SameEngine)
    assert "memory limit" not in again.info.explanation
    assert load_faster(options, running, threading.Event()) is None


def test_engine_that_never_fits_beside_the_running_one_is_decided(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two needs about 100 MB of 150 MB. The next start does not tune again."""

    limited = partial(memory_shortage, whole_limit=lambda: 150 * 10**6)
    monkeypatch.setattr(memory_estimate, "memory_shortage", limited)
    options = replace(_options(small_model.folder, tmp_path, EngineRequest(Provider.CPU)), lanes=1)
    running = load_selected(options)
    same = load_faster(options, running, threading.Event(), memory_left=lambda: 50 * 10**6)
    assert isinstance(same, SameEngine)
    assert same.info.reason == "exact, and no faster engine matches its ranking (short tuning)"
    assert load_faster(options, running, threading.Event()) is None


def test_full_tuning_skips_engines_that_exceed_the_memory_limit(small_model: Bundle, tmp_path: Path) -> None:
    """fp32 is loaded in any case: the server needs it as well. The reason does not name the command that just ran."""
    options = replace(_options(small_model.folder, tmp_path, EngineRequest(Provider.CPU)), lanes=1)
    tuned, _ = tune(options, lambda _: None, memory_left=lambda: 0)
    assert tuned.engine == CPU_FP32
    assert [line for line in tuned.skipped if "needs about" in line] == [
        "cpu int8: needs about 100 MB, and the memory limit leaves 0 MB"
    ]
    assert tuned.reason() == "exact; not decided: cpu int8 not measured (full tuning)"


def test_out_of_memory_makes_a_tuning_provisional(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start gives the same reasons, and tries the engine again."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    running = load_selected(options)
    with monkeypatch.context() as patch:
        patch.setitem(derive._REWRITES, INT8_ROWS, lambda _: _no_memory)
        same = load_faster(options, running, threading.Event())
    assert isinstance(same, SameEngine)
    assert "cannot be rewritten" in same.info.explanation
    assert same.info.reason.startswith("exact; not decided: cpu int8 not measured")
    assert same.info.reason.endswith("(short tuning, provisional)")
    selected = select_model(options).selection
    assert (selected.engine, selected.reason) == (CPU_FP32, same.info.reason)
    again = load_faster(options, load_selected(options), threading.Event())
    assert isinstance(again, SameEngine)
    assert "provisional" not in again.info.reason
    assert load_faster(options, running, threading.Event()) is None


def test_short_time_makes_a_tuning_provisional(starter: Bundle, tmp_path: Path) -> None:
    """Server, `rerank doctor` and `rerank tune --explain` name the same engine before and after the next start."""
    options = replace(_options(starter.folder, tmp_path, EngineRequest(Provider.CPU)), tune_seconds=0.0)
    same = load_faster(options, load_selected(options), threading.Event())
    assert isinstance(same, SameEngine)
    assert same.info.reason.startswith("exact; not decided within 0 s: cpu int8 not measured: run `rerank tune`")
    _, engine, *_ = model_findings("model", select_model(options), (), loads=False)
    assert engine.status is Status.SLOW
    assert engine.text.endswith(f": {same.info.reason}")
    explanation = explain(options)
    assert explanation.selection.tuned is not None
    assert explanation.selection.reason == same.info.reason == load_selected(options).info.reason


def test_tuning_without_time_keeps_the_engine_of_a_provisional_one(starter: Bundle, tmp_path: Path) -> None:
    """It decides nothing about the engine that an earlier tuning chose."""
    options = replace(_options(starter.folder, tmp_path, EngineRequest(Provider.CPU)), tune_seconds=0.0)
    record = _tuned(INT8, provisional=True).model_dump(mode="json")
    key, cache = tuning_key(starter, options.requested), Cache(tmp_path)
    cache.store_tuning(key, record)
    running = load_selected(options)
    assert running.encoder.engine == INT8
    assert load_faster(options, running, threading.Event()) is None
    assert cache.tuning(key) == record


def test_tuning_after_a_provisional_one_compares_with_fp32(starter: Bundle, tmp_path: Path) -> None:
    """The model runs on int8, and fp32 is loaded beside it. Without memory for it, nothing changes."""
    options = _options(starter.folder, tmp_path, EngineRequest(Provider.CPU))
    key, cache = tuning_key(starter, options.requested), Cache(tmp_path)
    cache.store_tuning(key, _tuned(INT8, provisional=True).model_dump(mode="json"))
    running = load_selected(options)
    assert load_faster(options, running, threading.Event(), memory_left=lambda: 0) is None

    assert load_faster(options, running, threading.Event()) is not None
    kept = parse_record(cache.tuning(key))
    assert kept is not None
    assert not kept.provisional
    assert {trial.engine for trial in kept.trials} == {CPU_FP32, INT8}
    [int8] = [trial for trial in kept.trials if trial.engine == INT8]
    assert "times cpu fp32" in int8.verdict


def test_tuning_of_another_process_meanwhile_is_kept(small_model: Bundle, tmp_path: Path) -> None:
    """`rerank tune` ends while a server tunes: its record has batch sizes and lanes, and the server's has none."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU))
    key, cache = tuning_key(small_model, options.requested), Cache(tmp_path)
    record = _tuned(CPU_FP32, lanes=1).model_dump(mode="json")

    def memory_left() -> int:  # called before the first engine is loaded
        cache.store_tuning(key, record)
        return 10**9

    same = load_faster(options, load_selected(options), threading.Event(), memory_left=memory_left)
    assert isinstance(same, SameEngine)
    assert cache.tuning(key) == record


@pytest.mark.parametrize("full", [False, True], ids=["at start", "rerank tune"])
def test_tuning_of_files_that_change_meanwhile_is_not_kept(tmp_path: Path, full: bool) -> None:
    """The key of a hub folder has the digests of its files: that of the new ones must not get this result."""
    folder = write_hub_folder(tmp_path / "hub")
    options = replace(_options(folder, tmp_path / "cache", EngineRequest(Provider.CPU)), lanes=1)

    def change() -> int:  # called before int8 is loaded
        edit_graph(folder, lambda model: setattr(model, "doc_string", "a new version"))
        return 10**9

    running = load_selected(options)
    moment = "during the tuning: tune again" if full else "while the model was loaded: load it again"
    with pytest.raises(BundleInvalid, match=rf"model\.onnx was changed {moment}"):
        if full:
            tune(options, lambda _: None, memory_left=change)
        else:
            load_faster(options, running, threading.Event(), memory_left=change)
    assert Cache(options.cache).counts() == (0, 0)


def test_changed_files_are_not_taken_for_the_loaded_version(tmp_path: Path) -> None:
    """The new version is tuned when it is loaded."""
    folder = write_hub_folder(tmp_path / "hub")
    options = _options(folder, tmp_path / "cache", EngineRequest(Provider.CPU))
    old, go_on = load_selected(options), threading.Event()
    once, entry = ImproveOnce(lambda _: options), ModelEntry(folder=folder, place="")
    edit_graph(folder, lambda model: setattr(model, "doc_string", "a new version"))
    with pytest.raises(BundleInvalid, match="was changed"):
        once(entry, old, go_on)
    assert once(entry, load_selected(options), go_on) is not None


def _no_memory(_model: object) -> int:
    raise MemoryError


def test_explain_measures_nothing(small_model: Bundle, tmp_path: Path) -> None:
    """Before a tuning, and after it."""
    options = replace(_options(small_model.folder, tmp_path, EngineRequest(Provider.CPU)), lanes=1)
    before = explain(options, memory_left=lambda: 0)
    assert before.selection.tuned is None
    assert before.available == available_engines(Provider.CPU, Precision.AUTO)
    assert before.short_of_memory[INT8] == "needs about 100 MB, and the memory limit leaves 0 MB"
    load_faster(options, load_selected(options), threading.Event())
    after = explain(options)
    assert after.selection.tuned is not None
    assert after.selection.engine == CPU_FP32
    assert after.short_of_memory == {}


def test_tuned_lanes_are_those_of_the_chosen_engine(tmp_path: Path) -> None:
    """The setting takes precedence. Other engines have their default."""
    options = ModelOptions(folder=tmp_path, cache=tmp_path)
    tuned = _tuned(INT8, lanes=7)
    assert options.lanes_on(INT8, tuned) == 7
    assert options.lanes_on(CPU_FP32, tuned) == options.lanes_on(CPU_FP32) == usable_cores()
    assert replace(options, lanes=3).lanes_on(INT8, tuned) == 3


def test_values_that_settings_fix_are_not_kept(small_model: Bundle, tmp_path: Path) -> None:
    """A start without these settings has its defaults. The search started from the fixed values."""
    options = _options(small_model.folder, tmp_path, EngineRequest(Provider.CPU, Precision.FP32))
    tuned, kept = tune(replace(options, lanes=3, max_batch_tokens=64), lambda _: None)
    assert kept
    stored = select_model(options).selection.tuned
    assert stored == tuned
    assert (stored.lanes, stored.max_batch_tokens) == (None, None)
    assert stored.length_multiple is not None
    assert options.lanes_on(CPU_FP32, stored) == usable_cores()


def _fail(patch: pytest.MonkeyPatch, engine: Engine, fails: Callable[[Batch], bool]) -> None:
    """Make int8 seem far faster than fp32, however busy the machine is, and an engine fail on some batches."""
    score, speed_of = CrossEncoder.score, TuningInput.speed_of

    def patched(encoder: CrossEncoder, batch: Batch) -> NDArray[np.float32]:
        if encoder.engine == engine and fails(batch):
            raise RuntimeError("no kernel")
        return score(encoder, batch)

    def told(model: TuningInput, measured: Engine, *given: Any) -> Callable[[], float]:
        run = speed_of(model, measured, *given)
        return lambda: run() and (20.0 if measured == INT8 else 1.0)

    patch.setattr(CrossEncoder, "score", patched)
    patch.setattr(TuningInput, "speed_of", told)


def _exact_int8(folder: Path) -> Bundle:
    """Write a bundle whose graph for int8 is that for fp32, so that both rank alike."""
    bundle = write_small_model(folder, broken_int8=True)
    shutil.copyfile(folder / "model.onnx", folder / "broken.onnx")
    return bundle


_TWO_ENGINES = AvailableEngines((CPU_FP32, INT8), ())


def test_command_marks_the_values_that_settings_fix(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They hold for this tuning only. The length multiple is saved, so it has no mark."""
    for name, value in (("CACHE", str(tmp_path)), ("LANES", "2"), ("MAX_BATCH_TOKENS", "128")):
        monkeypatch.setenv(f"RERANK_{name}", value)
    flags = ("--model", str(small_model.folder), "--provider", "cpu", "--precision", "fp32")
    assert entry._main(["tune", *flags]) == 0
    [chosen] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("chosen: ")]
    assert re.fullmatch(
        r"chosen: cpu fp32, 2 lanes \(set by RERANK_LANES: not saved\), "
        r"batches of 128 tokens \(set by RERANK_MAX_BATCH_TOKENS: not saved\), "
        r"lengths in multiples of \d+ tokens?",
        chosen,
    )


def test_full_tuning_leaves_out_settings_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chosen engine runs no batch above the default size."""
    _fail(monkeypatch, INT8, lambda batch: batch.rows * batch.length > LIMITS.max_tokens)
    model = TuningInput.read(_exact_int8(tmp_path), Cache(tmp_path), lambda _: LIMITS, lanes=1)
    tuned = tune_full(model, _TWO_ENGINES, lambda _: None)
    assert tuned.engine == INT8
    assert {setting.max_batch_tokens for setting in tuned.settings} == {256, 512}
    assert tuned.max_batch_tokens in (256, 512)


def test_full_tuning_keeps_the_base_if_the_chosen_engine_fails_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs until its batch settings are measured."""
    stages: list[str] = []
    _fail(monkeypatch, INT8, lambda _: any(stage.startswith("max batch tokens") for stage in stages))
    model = TuningInput.read(_exact_int8(tmp_path), Cache(tmp_path), lambda _: LIMITS, lanes=1)
    tuned = tune_full(model, _TWO_ENGINES, stages.append)
    assert tuned.engine == CPU_FP32
    assert tuned.reason() == ("exact; cpu int8 is faster, but failed while its settings were measured (full tuning)")
    assert re.search(r"cpu int8: matches, but fails on \d+ pairs? of \d+ tokens: no kernel", tuned.explanation())
    assert {setting.max_batch_tokens for setting in tuned.settings} >= {256, 512, 1024, 2048}


@pytest.mark.parametrize(
    ("base", "available", "phase"),
    [
        (INT8, AvailableEngines((INT8,), ()), "speed of"),
        (INT8, AvailableEngines((INT8,), ()), "max batch tokens"),
        (CPU_FP32, _TWO_ENGINES, "speed of"),
        (CPU_FP32, _TWO_ENGINES, "ranking of"),
    ],
    ids=["alone, speed", "alone, settings", "beside another, speed", "beside another, ranking"],
)
def test_full_tuning_ends_with_an_error_if_the_base_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Engine, available: AvailableEngines, phase: str
) -> None:
    """The message has its name and the reason. An engine beside it is not blamed."""
    stages: list[str] = []
    _fail(monkeypatch, base, lambda _: any(stage.startswith(phase) for stage in stages))
    model = TuningInput.read(_exact_int8(tmp_path), Cache(tmp_path), lambda _: LIMITS, lanes=1)
    with pytest.raises(BundleInvalid, match=rf"no engine runs .*: {base}: fails on .*: no kernel"):
        tune_full(model, available, stages.append)


def test_full_tuning_measures_settings_of_the_chosen_engine(small_model: Bundle, tmp_path: Path) -> None:
    """It keeps cost, lanes and limits for the next start."""
    model = TuningInput.read(small_model, Cache(tmp_path), lambda _: batch_limits(), lanes=2)
    progress: list[str] = []
    tuned = tune_full(model, available_engines(Provider.CPU, Precision.FP32), progress.append)
    assert tuned.engine == CPU_FP32
    assert {setting.max_batch_tokens for setting in tuned.settings} >= {256, 512, 1024, 2048}
    assert {setting.length_multiple for setting in tuned.settings} >= {1, 4, 8, 16}
    assert {setting.lanes for setting in tuned.settings} == {1, 2}
    assert tuned.lanes in (1, 2)
    assert tuned.cost is not None
    assert progress[0] == "loading the engines"
