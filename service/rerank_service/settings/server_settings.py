"""All settings of `rerank serve`, from their groups."""

from typing import Any

from pydantic import ValidationError

from rerank_service.errors import SettingsInvalid
from rerank_service.settings.admin import AdminSettings
from rerank_service.settings.cache import CacheSettings
from rerank_service.settings.connections import ConnectionSettings
from rerank_service.settings.contradictions import contradiction
from rerank_service.settings.engine import EngineSettings
from rerank_service.settings.group import KEY_SETTINGS, SettingsGroup
from rerank_service.settings.limits import LimitSettings
from rerank_service.settings.log import LogSettings
from rerank_service.settings.model import ModelSettings
from rerank_service.settings.network import NetworkSettings
from rerank_service.settings.observability import ObservabilitySettings
from rerank_service.settings.timeouts import TimeoutSettings
from rerank_service.settings.tls import TlsSettings
from rerank_service.settings.traces import TraceSettings
from rerank_service.settings_errors import describe_errors

GROUPS: tuple[type[SettingsGroup], ...] = (
    ModelSettings,
    NetworkSettings,
    TlsSettings,
    ConnectionSettings,
    AdminSettings,
    EngineSettings,
    LimitSettings,
    CacheSettings,
    TimeoutSettings,
    ObservabilitySettings,
    TraceSettings,
    LogSettings,
)
"""The groups, in the order of `rerank serve --help` and docs/settings.md."""


class Settings(
    LogSettings,
    TraceSettings,
    ObservabilitySettings,
    TimeoutSettings,
    CacheSettings,
    LimitSettings,
    EngineSettings,
    AdminSettings,
    ConnectionSettings,
    TlsSettings,
    NetworkSettings,
    ModelSettings,
):
    """Settings of `rerank serve`. The groups stand in reverse order, because pydantic takes the fields of the last base
    first."""


def read_settings(**given: Any) -> Settings:
    """Return the settings: the given values, then those of the environment, then the defaults.

    Raises:
        SettingsInvalid: a value is wrong, or two settings contradict each other. The message names each wrong setting,
            its value and the allowed values.
    """
    try:
        settings = Settings(**given)
    except ValidationError as error:
        properties = Settings.model_json_schema()["properties"]
        raise SettingsInvalid(describe_errors(error, properties, KEY_SETTINGS)) from error
    ports = {name: getattr(settings, name) for name in Settings.model_fields if name.endswith("_port")}
    if problem := contradiction(settings.host, ports, settings.tls_cert):
        raise SettingsInvalid(problem)
    return settings
