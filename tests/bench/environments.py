"""A virtual environment for each peer, under .venv-bench/, pinned by constraints/<name>.txt.

python -m bench.environments renews the constraints from what the package index has now (make bench-lock).
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-bench"
_CONSTRAINTS = Path(__file__).parent / "constraints"
_TORCH = "torch==2.13.0"
"""Named with its version everywhere: any other spelling may bring the build for CUDA, gigabytes of it."""

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "sentence-transformers": (_TORCH, "sentence-transformers[onnx,openvino]", "datasets"),  # to quantise OpenVINO's
    "infinity": (_TORCH, "infinity-emb[server,torch,optimum]"),
    "fastembed": ("fastembed",),
    "flashrank": ("flashrank",),
}
"""What pip is asked for, by environment."""

Say = Callable[[str], None]


class NotInstalled(Exception):
    """An environment cannot be made here, and why."""


def python_of(name: str, say: Say) -> Path:
    """The Python of an environment, made if it is not there as its constraints want it.

    Raises:
        NotInstalled: pip fails.
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
    """What is installed beside a Python."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    return dict(zip(packages, _run([str(python), "-c", code, *packages]).split(), strict=True))


def our_runtime() -> str:
    """The package that brings onnxruntime here."""
    named = {one.metadata["Name"] for one in distributions()}
    return next(name for name in ("onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime") if name in named)


def _make(folder: Path, arguments: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", *arguments])


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalled((errors or done.stderr.splitlines() or ["pip says nothing"])[0])
    return done.stdout


def lock() -> None:
    """Write the constraints anew: the versions that an empty environment gets."""
    for name, requirements in REQUIREMENTS.items():
        folder = ENVIRONMENTS / f"{name}-lock"
        print(f"resolving {name}")
        _make(folder, requirements)
        frozen = _run([str(folder / "bin" / "python"), "-m", "pip", "freeze", "--exclude", "setuptools"])
        pinned = "".join(f"{line}\n" for line in frozen.replace("+cpu", "").splitlines())
        (_CONSTRAINTS / f"{name}.txt").write_text(f"# Made by make bench-lock; not edited.\n{pinned}")
        shutil.rmtree(folder)


if __name__ == "__main__":
    lock()
