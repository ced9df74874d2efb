"""Settings become the values of parts."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rerank_service import wiring
from rerank_service.api.request_observation import NoObserver
from rerank_service.engine.kinds import CPU_FP32, Precision, Provider
from rerank_service.errors import SettingsInvalid, UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.files import STARTER
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import Names
from rerank_service.models.tuning.startup import EngineRequest
from rerank_service.settings import Settings, read_settings
from rerank_service.wiring import (
    empty_registry,
    model_entries,
    model_options,
    single_model_options,
    tracer_provider,
)
from support.limits import batch_limits


def _registry(bundle: Bundle, **settings: Any) -> Registry:
    registry = empty_registry(Settings(**settings))
    registry.add(build_model(bundle, limits=batch_limits(), engine=CPU_FP32, lanes=1))
    return registry


def test_hosted_names_are_accepted_by_list_and_pattern(small_model: Bundle) -> None:
    """By default, and not without `hosted_names`."""
    registry = _registry(small_model)
    assert {registry.find(name).info.name for name in ("qwen3-rerank", "zerank-2", "rerank-v99")} == {"small"}
    registry = _registry(small_model, hosted_names=False)
    for name in ("qwen3-rerank", "zerank-2", "rerank-v99"):
        with pytest.raises(UnknownModel):
            registry.find(name)


def test_own_patterns_leave_the_list(small_model: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """They replace the default patterns only. They are separated by commas."""
    monkeypatch.setenv("RERANK_HOSTED_NAME_PATTERNS", "acme-*, *ranker")
    registry = _registry(small_model)
    assert {registry.find(name).info.name for name in ("qwen3-rerank", "acme-1", "my-ranker")} == {"small"}
    with pytest.raises(UnknownModel, match=r"'rerank-v99' is not served here; served: small$"):
        registry.find("rerank-v99")


def test_traces_are_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then, a wrong variable of OpenTelemetry matters nothing."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "udp")
    assert tracer_provider(Settings()) is None
    with pytest.raises(SettingsInvalid, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'udp': give grpc or http/protobuf"):
        tracer_provider(Settings(traces="otlp"))


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.grpc"])
def test_traces_need_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The SDK and the exporter. The message has the command that installs it."""
    for name in list(sys.modules):
        if name.startswith((missing, "rerank_service.tracing.provider")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SettingsInvalid, match=r"OpenTelemetry is not installed. Install the extra otel: .*\[otel\]"):
        tracer_provider(Settings(traces="otlp"))


@pytest.mark.parametrize(
    ("settings", "keep_texts"),
    [({}, False), ({"trace_texts": True}, False), ({"log_texts": True}, True)],
)
def test_texts_are_kept_only_if_they_are_used(settings: dict[str, Any], keep_texts: bool) -> None:
    """Texts for traces are not kept without traces."""
    observing = wiring.observing(Settings(**settings), NoObserver())
    assert (observing.keep_texts, observing.traced) == (keep_texts, False)


def test_catalog_of_one_model() -> None:
    """Without `--models`, it has the model of `--model`, or else the starter model."""
    digest = "A" * 64
    [entry] = model_entries(Settings(model=Path("m"), model_name="n", aliases="a,b", model_digest=digest))
    assert entry == ModelEntry(folder=Path("m"), place="--model", name="n", aliases=("a", "b"), digest="a" * 64)
    assert model_entries(Settings()) == (ModelEntry(folder=STARTER, place="starter model"),)


def test_catalog_of_a_models_file(small_model: Bundle, tmp_path: Path) -> None:
    """An entry overrides the settings of the engine. What it leaves out is as the settings have it."""
    file = tmp_path / "models.yaml"
    file.write_text(
        f"- bundle: {small_model.folder}\n"
        f"- {{bundle: {small_model.folder}, name: b, aliases: [c], provider: cpu, precision: int8, lanes: 2}}"
    )
    settings = Settings(models=file, provider="openvino", precision="bf16", lanes=3, watch=True)
    first, second = (model_options(entry, settings) for entry in model_entries(settings))
    assert first.requested == EngineRequest(Provider.OPENVINO, Precision.BF16)
    assert (first.names, first.lanes) == (Names("small"), 3)
    assert second.requested == EngineRequest(Provider.CPU, Precision.INT8)
    assert (second.names, second.lanes) == (Names("b", ("c",)), 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": "f", "model": "m"}, "--model or RERANK_MODEL is 'm', but --models or RERANK_MODELS is set, too"),
        ({"models": "f", "model_name": "n"}, "--model-name or RERANK_MODEL_NAME is 'n', but --models"),
        ({"models": "f", "aliases": "a,b"}, "--aliases or RERANK_ALIASES is 'a,b', but --models"),
        ({"models": "f", "model_digest": "a" * 64}, f"--model-digest or RERANK_MODEL_DIGEST is '{'a' * 64}', but"),
        ({"models": "/none/f"}, "--models /none/f: cannot be read: No such file or directory"),
        ({"watch": True}, "--watch or RERANK_WATCH is true, but no files change: set --models or --model, too"),
    ],
)
def test_contradictory_model_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    """In one line with the setting, its value and the next step."""
    with pytest.raises(SettingsInvalid) as caught:
        model_entries(Settings(**settings))
    assert str(caught.value).startswith(message)


def test_commands_without_a_server_use_one_model() -> None:
    """In a container with RERANK_MODELS, `rerank tune` must not take the starter model silently."""
    settings = Settings(models=Path("models.yaml"))
    with pytest.raises(SettingsInvalid, match=r"RERANK_MODELS is 'models\.yaml', and this command uses one model"):
        single_model_options(settings)
    assert single_model_options(Settings(models=Path("f"), model=Path("m"))).folder == Path("m")
    assert single_model_options(Settings()).folder == STARTER


def test_starter_is_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every command with --model, and for local(). A folder of that name in the current folder has precedence."""
    monkeypatch.chdir(tmp_path)
    assert single_model_options(read_settings(model="starter")).folder == STARTER
    assert single_model_options(read_settings()).folder == STARTER
    (tmp_path / "starter").mkdir()
    assert single_model_options(read_settings(model="starter")).folder == Path("starter")
