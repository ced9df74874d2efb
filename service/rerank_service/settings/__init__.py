"""All settings of the server, the only place with their defaults. One file per group."""

from rerank_service.settings.group import KEY_SETTINGS, PROTECTING_SETTINGS, without_empty
from rerank_service.settings.server_settings import GROUPS, Settings, read_settings

__all__ = ["GROUPS", "KEY_SETTINGS", "PROTECTING_SETTINGS", "Settings", "read_settings", "without_empty"]
