"""Growth of the resources of a process, by regression over samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from support.process_usage import usage

_MIN_SAMPLES = {"memory": 100, "threads": 8, "descriptors": 8}
"""Fewer samples say nothing about growth. Memory goes up and down with inputs of megabytes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Resources of a process at one moment."""

    at: float
    """Position on the axis of the regression: inputs or seconds."""
    memory: float
    """Resident memory, in MiB."""
    threads: float
    descriptors: float


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of a process over the second half of its samples, by linear regression."""

    samples: int
    memory: float
    """In MiB."""
    threads: float
    descriptors: float
    last: Sample | None = None

    def problems(self) -> list[str]:
        """Return a line for each resource that has grown too much. Too few samples have no problem."""
        if self.last is None:
            return []
        allowed = {"memory": 64 + 0.1 * self.last.memory, "threads": 4.0, "descriptors": 16.0}
        return [
            f"{name} of the server grew by {getattr(self, name):.0f} over the second half of {self.samples} samples; "
            f"at most {most:.0f} is allowed{' (MiB)' if name == 'memory' else ''}"
            for name, most in allowed.items()
            if getattr(self, name) > most and self.samples >= _MIN_SAMPLES[name]
        ]


def sample(pid: int, at: float) -> Sample:
    """Return the resources of a process.

    Raises:
        FileNotFoundError: the process has ended.
    """
    found = usage(pid)
    return Sample(at=at, memory=found.kib / 1024, threads=found.threads, descriptors=found.descriptors)


def growth(samples: Sequence[Sample]) -> Growth:
    """Return the growth over the second half of the samples: the first half is warm-up."""
    second = samples[len(samples) // 2 :]
    if len(second) < 2:
        return Growth(len(samples), 0.0, 0.0, 0.0, samples[-1] if samples else None)
    memory, threads, descriptors = (_rise(second, name) for name in ("memory", "threads", "descriptors"))
    return Growth(len(samples), memory, threads, descriptors, second[-1])


def _rise(samples: Sequence[Sample], name: str) -> float:
    """Return the slope of the regression line, times the width of the samples."""
    at = np.array([each.at for each in samples])
    values = np.array([getattr(each, name) for each in samples])
    width = float(at[-1] - at[0])
    return float(np.polyfit(at, values, 1)[0]) * width if width else 0.0
