"""Settings of the access log and the metrics."""

from typing import ClassVar, Literal

from rerank_service.settings.field_types import Port, Proxies
from rerank_service.settings.group import SettingsGroup


class ObservabilitySettings(SettingsGroup):
    """Settings of the access log and the metrics."""

    heading: ClassVar[str] = "Access log and metrics"

    access_log: Literal["off", "errors", "all"] = "all"
    """Requests with a log line: one line for each finished request, for those that failed, or for none. Health checks
    and /metrics have no line. The lines have the level info."""
    log_texts: bool = False
    """Add the query and the first 20 documents of each request to its line, each cut to 1,000 characters. Otherwise, no
    text of a caller is logged."""
    forwarded_allow_ips: Proxies = ("127.0.0.1", "::1")
    """Proxies whose X-Forwarded-For or Forwarded header names the client in the access log: IP addresses and networks,
    separated by commas. A Unix socket counts as 127.0.0.1. *: every address; callers can then forge theirs. Example:
    10.0.0.0/8."""
    metrics_port: Port | None = None
    """TCP port of /metrics and /health/live on the addresses of --host, without TLS and without a check of API keys.
    0: the system chooses a free port. Unset: /metrics is on the REST port, and requires an API key if the server has
    keys. Example: 9090."""
