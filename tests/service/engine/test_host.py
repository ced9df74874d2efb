"""The number of usable cores."""

import os
from pathlib import Path

import pytest

from rerank_service.engine import host


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("unreadable", 64)],
)
def test_usable_cores_are_bounded_by_the_quota(
    content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quota is rounded up. Without a quota the affinity counts."""
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(host, "_CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert host.usable_cores() == cores


def test_cgroup_version_1_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 keeps quota and period in two files."""
    (tmp_path / "cpu.cfs_quota_us").write_text("300000")
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(host, "_CGROUP_V2", tmp_path / "absent")
    monkeypatch.setattr(host, "_CGROUP_V1", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert host.usable_cores() == 3
