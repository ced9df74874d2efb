"""Settings of deadlines of requests and shutdown."""

from typing import ClassVar

from rerank_service.settings.field_types import PositiveSeconds, Seconds
from rerank_service.settings.group import SettingsGroup


class TimeoutSettings(SettingsGroup):
    """Settings of deadlines of requests and shutdown."""

    heading: ClassVar[str] = "Timeouts and shutdown"

    default_timeout: PositiveSeconds = 60.0
    """Deadline of requests that set none, in seconds after their arrival."""
    batch_timeout: PositiveSeconds = 300.0
    """Time after which a running batch counts as hung in native code, in seconds. Then all live requests end with
    UNAVAILABLE (503), and the process ends with status 1, to be started again. Raise it if one pair may take longer."""
    grace: Seconds = 25.0
    """Grace period: time for accepted requests to finish after SIGTERM and --drain-delay, in seconds. Keep the sum of
    both below terminationGracePeriodSeconds of the pod."""
    drain_delay: Seconds = 0.0
    """Time between SIGTERM, when the server stops being ready, and the first rejection of a new request, in seconds.
    Load balancers need it to notice. Example: 5."""
