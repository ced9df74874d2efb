"""Kills before each change of the file system and in each file: no half file is used, and the next run succeeds."""

from pathlib import Path

import pytest

from support import kill_scenarios
from support.killed_stages import Scenario, killed_stages

_SCENARIOS: dict[type[Scenario], int] = {
    kill_scenarios.CachedGraph: 10,
    kill_scenarios.CachedTuning: 4,
    kill_scenarios.Calibrated: 2,
    kill_scenarios.Exported: 20,
    kill_scenarios.ExportedToANewFolder: 20,
    kill_scenarios.BatchOutput: 20,
}
"""Scenarios, each with a number of stages that it has at least."""


def test_a_kill_at_any_stage_leaves_nothing_that_is_half_done(tmp_path: Path) -> None:
    """Of the caches, a calibration, an export and a batch job. The number of stages shows that the kills happen."""
    for scenario, stages in zip(_SCENARIOS, killed_stages(tuple(_SCENARIOS), tmp_path), strict=True):
        assert stages >= _SCENARIOS[scenario], scenario


def test_a_file_that_is_written_in_place_is_found(tmp_path: Path) -> None:
    """By the kill in the middle of the file."""
    with pytest.raises(AssertionError, match=r"/in-1 has "):
        killed_stages((kill_scenarios.WrittenInPlace,), tmp_path)
