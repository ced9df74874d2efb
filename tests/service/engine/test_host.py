"""How many cores are ours."""

import os
from pathlib import Path

import pytest

from rerank_service.engine import host


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("unreadable", 64)],
)
def test_the_quota_bounds_the_affinity(
    content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota is rounded up; none leaves the affinity."""
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(host, "_CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert host.usable_cores() == cores


def test_an_old_cgroup_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 keeps quota and period in two files."""
    (tmp_path / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(host, "_CGROUP_V2", tmp_path / "absent")
    monkeypatch.setattr(host, "_CGROUP_V1", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert host.usable_cores() == 3
