"""Virtual environments of the peers, under .venv-bench/, pinned by constraints/<name>.txt.

`python -m bench.environments` (make bench-lock) updates the constraints from the package index.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from rerank_service.progress import kept_stages

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-bench"
_CONSTRAINTS = Path(__file__).parent / "constraints"
_TORCH = "torch==2.13.0"
"""The exact version selects the CPU build; other forms may install gigabytes of CUDA libraries."""

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "sentence-transformers": (
        _TORCH,
        "sentence-transformers[onnx,openvino]",
        "datasets",
    ),  # datasets: needed to quantise for OpenVINO
    "infinity": (_TORCH, "infinity-emb[server,torch,optimum]"),
    "fastembed": ("fastembed",),
    "flashrank": ("flashrank",),
}
"""Requirements for pip, by environment."""

Say = Callable[[str], None]


class NotInstalled(Exception):
    """An environment cannot be created; the message gives the reason."""


def python_of(name: str, say: Say) -> Path:
    """Return the Python of an environment. The environment is created if it is missing or its constraints have changed.

    Raises:
        NotInstalled: pip failed.
    """
    folder = ENVIRONMENTS / name
    constraints = _CONSTRAINTS / f"{name}.txt"
    wanted = hashlib.sha256(constraints.read_bytes() + "\n".join(REQUIREMENTS[name]).encode()).hexdigest()
    made = folder / ".made"
    if not made.is_file() or made.read_text() != wanted:
        say(f"installing {name} (once)")
        _make(folder, [*REQUIREMENTS[name], "-c", str(constraints)])
        made.write_text(wanted)
    return folder / "bin" / "python"


def versions_of(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each package, for a Python."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    return dict(zip(packages, _run([str(python), "-c", code, *packages]).split(), strict=True))


def our_runtime() -> str:
    """Return the name of the installed onnxruntime package."""
    installed = {distribution.metadata["Name"] for distribution in distributions()}
    return next(name for name in ("onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime") if name in installed)


def _make(folder: Path, arguments: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", *arguments])


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled((errors or done.stderr.splitlines() or ["pip failed without a message"])[0])
    return done.stdout


def lock() -> None:
    """Write the constraints: the versions that pip installs into an empty environment."""
    say = kept_stages()
    for name, requirements in REQUIREMENTS.items():
        folder = ENVIRONMENTS / f"{name}-lock"
        say(f"resolving {name}")
        _make(folder, requirements)
        frozen = _run([str(folder / "bin" / "python"), "-m", "pip", "freeze", "--exclude", "setuptools"])
        pinned = "".join(f"{line}\n" for line in frozen.replace("+cpu", "").splitlines())
        (_CONSTRAINTS / f"{name}.txt").write_text(f"# Made by make bench-lock; not edited.\n{pinned}")
        shutil.rmtree(folder)


if __name__ == "__main__":
    lock()
