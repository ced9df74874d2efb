"""Results of one shape, and their JSON form: one file for each shape, so that a run can go on where one was stopped."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSpeed:
    """One system at one document length."""

    name: str
    use: str
    """Value of `Use`."""
    precision: str
    documents_per_second: float
    ratio: float
    """Documents per second of this server / of the system, in the same rounds."""
    rounds: int = 3
    """Number of rounds; 1 if the setting cannot be the fastest of its use."""
    mean_loss: float | None
    """Mean relevance loss; None if it was not measured."""
    worst_loss: float | None
    ranks_as_well: bool
    """True if the speed counts: the rankings are within the bounds of `auto`, or no worse than this server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthResult:
    """All systems at one document length."""

    tokens: int
    """Tokens of a document."""
    ours: float
    """Documents per second of this server."""
    systems: tuple[SystemSpeed, ...]
    """The systems of the peer."""

    def fastest(self, *uses: str) -> SystemSpeed | None:
        """Return the fastest system whose rankings count, of some uses; None if there is none."""
        counted = [system for system in self.systems if system.use in uses and system.ranks_as_well]
        return max(counted, key=lambda system: system.documents_per_second, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeResult:
    """The measurements of one shape."""

    shape: str
    """Label of the shape."""
    model: str
    """Hub id."""
    source: str
    """Address of the sizes."""
    tokenizer: str
    scale: float
    """Published layers / measured layers."""
    date: str
    load_average: float
    """Load of the machine in the minute before; a busy machine makes all figures preliminary."""
    engine: str
    """Precision and provider that served, and whether the precision was requested."""
    why: str
    """Why they were chosen."""
    mean_loss: float | None
    parameters: int
    weight_bytes: int
    """Bytes of all weights in the served precision."""
    peak_bytes: int
    """Peak resident memory of the server (VmHWM)."""
    proportional_bytes: int
    """Memory of the server after the work, with its share of shared pages (PSS)."""
    own_bytes: int
    """Resident memory of the server after the work, without pages of files."""
    ready_seconds: float
    """Time from the command to readiness, with the engine that an earlier start chose."""
    lengths: tuple[LengthResult, ...]
    failed: Mapping[str, str]
    """Systems that did not run, with the reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return asdict(self)


def store(result: ShapeResult, path: Path) -> None:
    """Write a result. A partial file is never left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.rename(path)


def load(path: Path) -> ShapeResult | None:
    """Return the result in a file; None without the file."""
    return parse(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def parse(figures: Mapping[str, Any]) -> ShapeResult:
    """Return the result that a JSON object describes."""
    lengths = tuple(
        LengthResult(**{**length, "systems": tuple(SystemSpeed(**system) for system in length["systems"])})
        for length in figures["lengths"]
    )
    return ShapeResult(**{**figures, "lengths": lengths})
