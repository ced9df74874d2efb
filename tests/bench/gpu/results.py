"""Figures of models on a GPU."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LengthFigures:
    """Figures of one document length, by the slug of a system."""

    tokens: int
    """Tokens of a document."""
    documents_per_second: Mapping[str, float]
    """Median of the rounds."""
    seconds: Mapping[str, float]
    """Median duration of one request on an idle server."""
    processors: float
    """Cores that this server keeps busy under load over gRPC, on average."""
    batches: Mapping[str, int]
    """Best batch size of each tuned system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuResult:
    """Figures of one model."""

    shape: str
    ready_seconds: float
    """Start of the server, with the derived graph in its cache."""
    lengths: tuple[LengthFigures, ...]
    failed: Mapping[str, str]
    """Reasons by the slug of a system that could not run."""

    def as_json(self) -> dict[str, Any]:
        """Return all figures for a JSON file."""
        return dataclasses.asdict(self)
