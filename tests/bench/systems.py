"""Systems of the benchmark: configurations of this server, of its engine and of peers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bench.host import Host
from bench.model_folders import BUNDLE, SOURCE

OURS = "rerank-service"


class Kind(Enum):
    """Interface through which a system is measured."""

    GRPC = "gRPC"
    REST = "REST"
    RUNNER = "in process"
    INFINITY = "served"


class Use(Enum):
    """Kind of configuration that a comparison refers to."""

    OURS = "ours"
    BARE = "bare"
    ENGINE = "engine chosen by name"
    """This server with a provider and a precision."""
    AS_USERS_DO = "as its users run it"
    """Default options, one call per request."""
    AT_ITS_BEST = "at its best"
    """Best batch size found, and all pairs in one call if there is such a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One configuration of this server or of a peer."""

    name: str
    peer: str
    """Name of the environment; `OURS` for the project's own."""
    kind: Kind
    use: Use
    precision: str = ""
    """Empty if the server reports it."""
    runner: str = ""
    """Module in runners/ for `Kind.RUNNER`."""
    load: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of the runner's load message, beside the model."""
    model: str = SOURCE
    """Folder of the model, below the output folder of bench.model."""
    arguments: tuple[str, ...] = ()
    """Command-line arguments of a served system."""
    cannot_run: str = ""
    """Reason why the benchmark does not try to run it; it stands in the table."""

    @property
    def slug(self) -> str:
        """Name for files."""
        return f"{self.name}-{self.precision}-{self.use.name}".lower().replace(" ", "-").replace("_", "-")

    @property
    def is_tuned(self) -> bool:
        """True if the benchmark searches its best batch size."""
        return self.use in (Use.AT_ITS_BEST, Use.BARE)


SERVED = System(name="rerank-service over gRPC", peer=OURS, kind=Kind.GRPC, use=Use.OURS, model=BUNDLE)
"""This server with the engine that `auto` chooses. All others are compared with it."""
SERVED_REST = System(name="rerank-service over REST", peer=OURS, kind=Kind.REST, use=Use.OURS, model=BUNDLE)
BARE = System(name="its bare engine", peer=OURS, kind=Kind.RUNNER, use=Use.BARE, runner="bare", model=BUNDLE)


def _engine(provider: str, precision: str) -> System:
    return System(
        name=f"rerank-service --provider {provider}",
        peer=OURS,
        kind=Kind.GRPC,
        use=Use.ENGINE,
        precision=precision,
        model=BUNDLE,
        arguments=("--provider", provider, "--precision", precision),
    )


REFERENCE = _engine("cpu", "fp32")
"""The engine whose rankings are the reference of the relevance loss."""


def our_systems(host: Host) -> list[System]:
    """Return all systems of this server; the first is `SERVED`."""
    has_bf16 = {"amx_bf16", "avx512_bf16"} & set(host.features)
    engines = [
        REFERENCE,
        _engine("openvino", "fp32"),
        *([_engine("openvino", "bf16")] if has_bf16 else []),
        _engine("cpu", "int8"),
        _engine("openvino", "int8"),
    ]
    return [SERVED, SERVED_REST, BARE, *engines]


def bundled_path(model: Path | None, system: System) -> Path | None:
    """Return the folder of a system's model; None for the model that is bundled with the server."""
    return None if model is None else model / system.model
