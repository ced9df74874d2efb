"""What a test of a client stands on: the front, the key, and what is recorded of it."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from clients.front import Call, Front
from clients.ways import Way

C = TypeVar("C")


@dataclass
class Ground:
    """The server as a client sees it."""

    front: Front
    key: str
    grpc: str
    ways: list[Way[Any]] = field(default_factory=list)
    """By which clients were made."""

    def open(self, way: Way[C], *, k: str = "", M: str = "starter") -> C:
        """The client that a way makes: with the right key and for the bundled model, unless said else."""
        return self.at(way, H=self.front.url, k=k or self.key, M=M)

    def at(self, way: Way[C], *, H: str, k: str, M: str = "starter") -> C:
        """Likewise, of what stands at H and takes the key k, such as a proxy before the front."""
        self.ways.append(way)
        return way.make(H, k, M)

    @property
    def calls(self) -> list[Call]:
        """What passed, look-ups left out."""
        return [call for call in self.front.calls if call.method == "POST"]

    @property
    def last(self) -> Call:
        """The last of them."""
        return self.calls[-1]
