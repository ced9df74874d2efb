"""Settings become the values of parts."""

import sys
from typing import Any

import pytest

from rerank_service import wiring
from rerank_service.api.request_observation import NoObserver
from rerank_service.engine.kinds import CPU_FP32
from rerank_service.errors import SettingsInvalid, UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.settings import Settings
from rerank_service.wiring import empty_registry, tracer_provider
from support.limits import batch_limits


def _registry(bundle: Bundle, **settings: Any) -> Registry:
    registry = empty_registry(Settings(**settings))
    registry.add(build_model(bundle, limits=batch_limits(), engine=CPU_FP32, lanes=1))
    return registry


def test_hosted_names_are_accepted_by_list_and_pattern(small_model: Bundle) -> None:
    """By default, and not without `hosted_names`."""
    registry = _registry(small_model)
    assert {registry.get(name).info.name for name in ("qwen3-rerank", "zerank-2", "rerank-v99")} == {"small"}
    registry = _registry(small_model, hosted_names=False)
    for name in ("qwen3-rerank", "zerank-2", "rerank-v99"):
        with pytest.raises(UnknownModel):
            registry.get(name)


def test_own_patterns_leave_the_list(small_model: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """They replace the default patterns only. They are separated by commas."""
    monkeypatch.setenv("RERANK_HOSTED_NAME_PATTERNS", "acme-*, *ranker")
    registry = _registry(small_model)
    assert {registry.get(name).info.name for name in ("qwen3-rerank", "acme-1", "my-ranker")} == {"small"}
    with pytest.raises(UnknownModel, match=r"'rerank-v99' is not served here; served: small$"):
        registry.get("rerank-v99")


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
