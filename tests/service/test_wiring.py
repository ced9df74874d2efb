"""Settings become the values of parts."""

from typing import Any

import pytest

from rerank_service.engine.kinds import CPU_FP32
from rerank_service.errors import UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.settings import Settings
from rerank_service.wiring import empty_registry
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
