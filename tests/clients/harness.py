"""Test harness: opens clients against the recording proxy and gives access to the recorded calls."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from clients.recording_proxy import Call, RecordingProxy
from clients.setups import ClientSetup

C = TypeVar("C")


@dataclass
class Harness:
    """The addresses and the key for clients, and the setups that a test used."""

    recorder: RecordingProxy
    key: str
    grpc: str
    setups: list[ClientSetup[Any]] = field(default_factory=list)
    """Setups of the clients that were opened."""

    def open(self, setup: ClientSetup[C], *, k: str = "", M: str = "starter") -> C:
        """Return the client of a setup for the recording proxy, by default with the right key and the bundled model."""
        return self.at(setup, H=self.recorder.url, k=k or self.key, M=M)

    def at(self, setup: ClientSetup[C], *, H: str, k: str, M: str = "starter") -> C:
        """Return the client of a setup for a server at H with the key k, such as another proxy."""
        self.setups.append(setup)
        return setup.make(H, k, M)

    @property
    def calls(self) -> list[Call]:
        """Return the recorded POST calls."""
        return [call for call in self.recorder.calls if call.method == "POST"]

    @property
    def last(self) -> Call:
        """Return the last POST call."""
        return self.calls[-1]
