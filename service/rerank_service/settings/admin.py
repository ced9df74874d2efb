"""Settings of the service Admin."""

from pathlib import Path
from typing import ClassVar

from rerank_service.settings.field_types import AdminHosts, Port
from rerank_service.settings.group import SettingsGroup


class AdminSettings(SettingsGroup):
    """Settings of the service Admin."""

    heading: ClassVar[str] = "Admin"

    admin_port: Port | None = None
    """TCP port of the gRPC service Admin, which loads and unloads models and switches readiness (`rerank admin`). If
    the server has API keys, it needs a key with `admin: true` in --api-keys-file. 0: the system chooses a free port.
    Unset: no such port. Example: 50052."""
    admin_host: AdminHosts = ("127.0.0.1",)
    """Addresses of --admin-port, separated by commas: IP addresses and host names. Any other address than loopback
    requires API keys. Example: 0.0.0.0."""
    bundles_root: Path | None = None
    """Folder with bundles that an admin key may load, also as new models. Unset: only folders that a model of the
    server has now, or has in the settings or the models file, for a new version of a model. Example: /models."""
