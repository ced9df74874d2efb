"""Parts of a benchmark: each is measured by itself, with this server beside it, and kept in a file.

A benchmark that was interrupted continues with the parts that are missing. A part is measured again if the code, the
options or the server's variables have changed.
"""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.environments import ROOT
from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import Options
from bench.pool import Record
from rerank_service.tools.loadtest.target import ServerInfo

RANDOM, BUNDLED = "minilm-l6", "bundled"
"""The models: MiniLM-L6 with random weights, which every peer loads, and the model that is bundled with the server."""
SERVER = "server"
"""Name of the part without peers, with all figures of this server alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """Systems that are measured together."""

    name: str
    model: str
    peers: tuple[str, ...] = ()


PARTS = (
    Part(SERVER, RANDOM),
    Part("sentence-transformers", RANDOM, ("sentence-transformers",)),
    Part("infinity", RANDOM, ("infinity",)),
    Part("onnx", RANDOM, ("fastembed", "flashrank", "flash-rerank")),
    Part(BUNDLED, BUNDLED, ("sentence-transformers",)),
)
"""All parts, in the order in which they are measured."""


def chosen_parts(only: Collection[str], peers: Collection[str]) -> list[Part]:
    """Return the parts to measure. `only` names parts, empty for all. Parts without a chosen peer are left out."""
    parts = [
        Part(part.name, part.model, tuple(peer for peer in part.peers if peer in peers))
        for part in PARTS
        if not only or part.name in only
    ]
    return [part for part in parts if part.peers or part.name == SERVER]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """Figures of this server without a peer. One that could not be measured is None, and `failed` has the reason."""

    beside_bulk: BesideBulk | None
    overload: Overload | None
    memory: Memory | None
    cold_start: float | None
    failed: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResults:
    """Results of one part."""

    part: Part
    date: str
    seconds: float
    """Duration of the measurement."""
    served: ServerInfo
    """Model, precision and provider that this server reported."""
    settings: dict[str, str]
    """Environment variables RERANK_… of this server."""
    work: int
    """Number of documents of a turn."""
    records: list[Record]
    """This server first."""
    levels: list[LoadLevel]
    alone: Alone | None = None


_RESULTS = TypeAdapter(PartResults)


class PartFiles:
    """Files with the results of parts, one folder for each machine and each size of the benchmark."""

    def __init__(self, folder: Path, host: Host, options: Options, environment: Mapping[str, str]) -> None:
        self._folder = folder / host.slug / ("full" if options == Options() else "other")
        variables = sorted((name, value) for name, value in environment.items() if name.startswith("RERANK_"))
        self._version = f"{_code()}-{options}-{host}-{variables}"

    def load(self, part: Part) -> PartResults | None:
        """Return the results of a part; None if it was not measured, or with other code, options or variables."""
        path = self._path(part)
        if not path.is_file():
            return None
        try:
            return _RESULTS.validate_json(path.read_bytes())
        except ValidationError:
            return None

    def store(self, results: PartResults) -> None:
        """Write the results of a part. A partial file is never read: it is renamed when complete."""
        path = self._path(results.part)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(_RESULTS.dump_json(results, indent=1))
        partial.replace(path)

    def seconds(self, name: str) -> float | None:
        """Return the duration of the last measurement of a part with this name, whatever its version; None without."""
        files = sorted(self._folder.glob(f"{name}-*.json"), key=lambda path: path.stat().st_mtime)
        try:
            return _RESULTS.validate_json(files[-1].read_bytes()).seconds if files else None
        except ValidationError:
            return None

    def _path(self, part: Part) -> Path:
        digest = hashlib.sha256(f"{self._version}-{part}".encode()).hexdigest()[:12]
        return self._folder / f"{part.name}-{digest}.json"


def _code() -> str:
    """Return a digest of the code that is measured and that measures."""
    sources = [*(ROOT / "tests" / "bench").rglob("*.py"), *(ROOT / "service" / "rerank_service").rglob("*.py")]
    measured = (path for path in sorted(sources) if not path.name.startswith("test_"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in measured)).hexdigest()[:12]


def our_settings() -> dict[str, str]:
    """Return the environment variables RERANK_… of this process, which its servers inherit."""
    return {name: value for name, value in os.environ.items() if name.startswith("RERANK_")}


def peers_of(parts: Sequence[Part]) -> list[str]:
    """Return the names of all peers, each once."""
    return list(dict.fromkeys(peer for part in parts for peer in part.peers))
