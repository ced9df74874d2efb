"""The files that the server reads again when they change, looked at at the time of a scrape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

ConfigFile = Literal["models", "keys", "tls"]
"""Values of the label `file`."""


@dataclass(frozen=True, slots=True)
class ConfigState:
    """The state of the files that are configured."""

    up_to_date: Mapping[ConfigFile, bool] = field(default_factory=dict)
    """False if the last reload failed, so the server uses the content from before."""
    certificate_expires: float | None = None
    """Time when the first certificate in use expires, in seconds since 1970. None: TLS is off."""


class ConfigFiles:
    """The files that a server reads again. Used on the event loop only."""

    def __init__(self) -> None:
        self._up_to_date: dict[ConfigFile, Callable[[], bool]] = {}
        self._certificate_expires: Callable[[], float] | None = None

    def add(self, file: ConfigFile, up_to_date: Callable[[], bool]) -> None:
        """Show whether a file is up to date. `up_to_date` is called at each scrape."""
        self._up_to_date[file] = up_to_date

    def add_certificate(self, expires: Callable[[], float]) -> None:
        """Show when the certificate expires, in seconds since 1970. `expires` is called at each scrape."""
        self._certificate_expires = expires

    def state(self) -> ConfigState:
        """Return the current state."""
        up_to_date = {file: look() for file, look in self._up_to_date.items()}
        expires = self._certificate_expires
        return ConfigState(up_to_date, None if expires is None else expires())
