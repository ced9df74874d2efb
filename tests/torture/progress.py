"""Progress of the parts, in files: an interrupted campaign continues where it stopped, on another machine too."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from bench.environments import ROOT
from torture.part import Failure, Part
from torture.resources import Growth

OUTPUT = ROOT / "out" / "torture"
KEPT = Path(__file__).parent / "kept"
"""Progress under version control."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Progress of a part with one seed. Changed after each block of inputs."""

    part: str
    seed: int
    code: str
    """Digest of the code of the server that was tried last."""
    tried: int = 0
    """Number of inputs. They have the numbers from 0 on."""
    tried_before: int = 0
    """Number of inputs that earlier versions of the server got."""
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    steady: int = 0
    """Number of correct answers to the requests beside the part."""
    facts: dict[str, float] = field(default_factory=dict)
    """Other figures of the part, by name."""
    failures: list[Failure] = field(default_factory=list)
    """Failures of this version."""
    earlier_failures: list[Failure] = field(default_factory=list)
    """Failures of earlier versions. They are tried again first."""
    growth: list[Growth] = field(default_factory=list)
    """Growth of each server that the part has started."""

    def by_version(self, code: str) -> Self:
        """Return the progress, continued by the version of the server with a digest."""
        if code == self.code:
            return self
        failures = [*self.earlier_failures, *self.failures]
        return replace(self, code=code, tried_before=self.tried, failures=[], earlier_failures=failures)


_PROGRESS = TypeAdapter(Progress)


class ProgressFiles:
    """Files with the progress of parts, one for each part and seed."""

    def __init__(self, folder: Path, kept: Path = KEPT) -> None:
        """`folder` has the progress of this clone, `kept` that of all clones."""
        self._folder = folder
        self._kept = kept
        self.code = _code()
        """Digest of the code of the server."""

    def load(self, part: Part, seed: int) -> Progress:
        """Return the progress of a part: of this clone or the kept one, whichever has more inputs. It is empty if there
        is none, or if the part measures one version and the code of the server has changed."""
        name = _file_name(part.name, seed)
        found = (_read(self._folder / "progress" / name), _read(self._kept / name))
        known = [progress for progress in found if progress and not (part.one_version and progress.code != self.code)]
        empty = Progress(part=part.name, seed=seed, code=self.code)
        return max(known, key=lambda progress: progress.tried, default=empty).by_version(self.code)

    def store(self, progress: Progress) -> None:
        """Write the progress of this clone."""
        _write(self._folder / "progress", progress)

    def keep(self, progress: Progress) -> None:
        """Write the progress for all clones."""
        _write(self._kept, progress)

    def kept(self, parts: Sequence[Part], seed: int) -> list[tuple[Part, Progress]]:
        """Return the kept progress of the parts that have some."""
        read = ((part, _read(self._kept / _file_name(part.name, seed))) for part in parts)
        return [(part, progress) for part, progress in read if progress is not None]

    def keep_failure(self, progress: Progress, failure: Failure) -> Path:
        """Write a failure to a file of its own, and return its path."""
        name = re.sub(r"[^0-9a-z-]+", "-", f"{progress.part}-{progress.seed}-{failure.numbers}".lower())
        path = self._folder / "failures" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"part": progress.part, "problem": failure.problem, "command": failure.command, "case": failure.case}
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def _file_name(part: str, seed: int) -> str:
    return f"{part}-{seed}.json"


def _read(path: Path) -> Progress | None:
    """Return the progress in a file, or None without one that this version can read."""
    try:
        return _PROGRESS.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(folder: Path, progress: Progress) -> None:
    """Write a file. A partial one is never read: it is renamed when complete."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _file_name(progress.part, progress.seed)
    partial = path.with_suffix(".partial")
    partial.write_bytes(_PROGRESS.dump_json(progress, indent=1) + b"\n")
    partial.replace(path)


def _code() -> str:
    """Return a digest of the code of the server."""
    sources = sorted((ROOT / "service" / "rerank_service").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
