"""Run bench.shapes.build, in the exporter's environment."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.environments import ROOT
from bench.shapes.shape import Shape


def build(shape: Shape, folder: Path, python: Path, *more: str) -> None:
    """Write a shape beside its place, and rename it when complete, so that a partial one is never used.

    `python` has the exporter, and `more` are further arguments of bench.shapes.build.

    Raises:
        CalledProcessError: it failed, and has printed the reason.
    """
    partial = folder.with_suffix(".partial")
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    command = [str(python), "-m", "bench.shapes.build", shape.name, str(partial), "--layers", str(shape.layers), *more]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tests")})
    partial.rename(folder)
