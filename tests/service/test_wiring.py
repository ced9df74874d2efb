"""Settings become the values of parts."""

from typing import Any

import pytest

from rerank_service.api.auth import Keys
from rerank_service.engine.kinds import CPU_FP32
from rerank_service.errors import SettingsInvalid, UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.registry import Registry
from rerank_service.settings import Settings
from rerank_service.wiring import admin_options, empty_registry
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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1,192.0.2.1"])
def test_open_admin_port_without_keys_is_refused(host: str) -> None:
    """With keys, or on loopback only, it is allowed. The message names the setting, the value and the fix."""
    settings = Settings(admin_port=0, admin_host=host)
    with pytest.raises(SettingsInvalid) as caught:
        admin_options(settings, Keys())
    assert str(caught.value) == (
        f"--admin-host or RERANK_ADMIN_HOST is {host}, and no API keys are set: set --api-keys-file with a key of "
        "`admin: true`, or use 127.0.0.1, so that not everyone can change the server"
    )
    options = admin_options(settings, Keys(["key"]))
    assert options is not None
    assert (options.port_flag, options.host_flag) == ("--admin-port", "--admin-host")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.1,[::1]"])
def test_admin_port_on_loopback_needs_no_key(host: str) -> None:
    """It has the limits of the other gRPC port, and is off without a port."""
    options = admin_options(Settings(admin_port=7, admin_host=host, max_connections=3), Keys())
    assert options is not None
    assert (options.port, options.max_connections) == (7, 3)
    assert all(each.is_loopback for each in options.addresses)
    assert admin_options(Settings(admin_host=host), Keys()) is None


def test_unusable_admin_host_names_its_setting() -> None:
    """And not --host."""
    settings = Settings(admin_port=0, admin_host="nowhere.invalid")
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid: .*; choose another with --admin-host"):
        admin_options(settings, Keys())
