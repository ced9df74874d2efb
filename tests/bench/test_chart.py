"""Chart of a benchmark, drawn from its JSON file."""

import json
from pathlib import Path

import pytest

from bench.chart import draw

RUNS = sorted((Path(__file__).parents[2] / "docs" / "bench").glob("*.json"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.stem)
def test_committed_figures_are_drawn(run: Path, tmp_path: Path) -> None:
    """Draw each committed run."""
    draw(json.loads(run.read_text(encoding="utf-8")), tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
