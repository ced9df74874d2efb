"""Growth of the resources of a process, by regression over samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from support.process_usage import usage

MEMORY_SAMPLES = 100
"""Fewer samples say nothing about the growth of memory, which goes up and down with inputs of megabytes."""
_OTHER_SAMPLES = 8
"""Fewer samples say nothing about the growth of threads and descriptors."""
_CERTAIN = 3.0
"""Standard errors of the growth above which it is no accident: the number of connections goes up and down."""
_MIN_VALUES = 3
"""Number of samples that a standard error needs."""
_MAX_LEFT = 4
"""Number of descriptors above those before the part that may be open at its end."""


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
    memory_samples: int = MEMORY_SAMPLES
    """Number of samples that the growth of memory needs."""
    accidental: tuple[str, ...] = ()
    """Resources whose growth may be an accident."""

    def judges(self, name: str) -> bool:
        """Return whether there are enough samples to judge the growth of a resource."""
        return self.samples >= (self.memory_samples if name == "memory" else _OTHER_SAMPLES)

    def problems(self) -> list[str]:
        """Return a line for each resource that has grown too much. Too few samples have no problem."""
        if self.last is None:
            return []
        allowed = {"memory": 64 + 0.1 * self.last.memory, "threads": 4.0, "descriptors": 16.0}
        return [
            f"{name} of the server grew by {getattr(self, name):.0f} over the second half of {self.samples} samples; "
            f"at most {most:.0f} is allowed{' (MiB)' if name == 'memory' else ''}"
            for name, most in allowed.items()
            if getattr(self, name) > most and self.judges(name) and name not in self.accidental
        ]


def sample(pid: int, at: float) -> Sample:
    """Return the resources of a process.

    Raises:
        FileNotFoundError: the process has ended.
    """
    found = usage(pid)
    return Sample(at=at, memory=found.kib / 1024, threads=found.threads, descriptors=found.descriptors)


class ServerResources:
    """Resources of a server while a part tries its inputs."""

    def __init__(self, before: Sample, memory_samples: int) -> None:
        """`before` is taken before the part. `memory_samples` is the number that the growth of memory needs."""
        self.before = before
        self._memory_samples = memory_samples
        self._samples: list[Sample] = []

    def add(self, now: Sample) -> None:
        """Note the resources after a block of inputs."""
        self._samples.append(now)

    def growth(self) -> Growth:
        """Return the growth over the second half of the blocks: the first half is warm-up."""
        return growth(self._samples, self._memory_samples)

    def left_open(self, quiet: Sample) -> list[str]:
        """Return a line if descriptors are left open. `quiet` is taken when all connections of the part are closed."""
        more = quiet.descriptors - self.before.descriptors
        problem = (
            f"{more:.0f} descriptors more than before the part are open after the end of its connections; "
            f"at most {_MAX_LEFT} are allowed"
        )
        return [problem] if more > _MAX_LEFT else []


def growth(samples: Sequence[Sample], memory_samples: int = MEMORY_SAMPLES) -> Growth:
    """Return the growth over the second half of the samples: the first half is warm-up."""
    second = samples[len(samples) // 2 :]
    rises = {name: _rise(second, name) for name in ("memory", "threads", "descriptors")}
    accidental = tuple(name for name, (rise, error) in rises.items() if rise <= _CERTAIN * error)
    memory, threads, descriptors = (rise for rise, _ in rises.values())
    last = samples[-1] if samples else None
    return Growth(len(samples), memory, threads, descriptors, last, memory_samples, accidental)


def _rise(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """Return the slope of the regression line, times the width of the samples, and its standard error."""
    at = np.array([each.at for each in samples])
    values = np.array([getattr(each, name) for each in samples])
    width = float(at[-1] - at[0]) if len(samples) >= _MIN_VALUES else 0.0
    if not width:
        return 0.0, 0.0
    (slope, _), covariance = np.polyfit(at, values, 1, cov=True)
    return float(slope) * width, float(np.sqrt(covariance[0, 0])) * width
