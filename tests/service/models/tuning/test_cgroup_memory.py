"""Memory limits, read from folders in the format of Linux."""

from pathlib import Path

import pytest

from rerank_service.models.tuning.cgroup_memory import Limit, memory_left, memory_limit, memory_limits

GIB = 2**30


def _v2(folder: Path, limit: str, used: int, inactive_file: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive_file}\nactive_file 7\n")


def _v1(folder: Path, limit: int, used: int, inactive_file: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"inactive_file 3\ntotal_inactive_file {inactive_file}\n")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The file that names the process's cgroups."""
    path = tmp_path / "own"
    path.write_text("4:cpu,memory:/pods/one\n1:name=systemd:/\n0::/pods/one\n")
    return path


def test_version_2_limit_of_a_container_is_at_the_root(tmp_path: Path, own: Path) -> None:
    """A container does not see its path on the host. File pages that the kernel would drop count as free."""
    _v2(tmp_path / "root", str(2 * GIB), GIB, 1000)
    assert memory_limits(tmp_path / "root", own) == (Limit(2 * GIB, GIB + 1000),)


def test_limits_of_parent_groups_count(tmp_path: Path, own: Path) -> None:
    """The limit of a pod is above that of its containers. `max` is no limit."""
    root = tmp_path / "root"
    _v2(root / "pods" / "one", "max", 10)
    _v2(root / "pods", "5000", 4000)
    assert memory_limits(root, own) == (Limit(5000, 1000),)


def test_version_1_limits(tmp_path: Path, own: Path) -> None:
    """Version 1 has other file names, and writes a large number for no limit."""
    memory = tmp_path / "root" / "memory"
    _v1(memory, 2**63 - 4096, 100)
    _v1(memory / "pods" / "one", 3000, 2500, 200)
    assert memory_limits(tmp_path / "root", own) == (Limit(3000, 700),)


def test_full_group_has_zero_bytes_left(tmp_path: Path, own: Path) -> None:
    """The result is not negative."""
    _v2(tmp_path / "root", "100", 120)
    assert memory_limits(tmp_path / "root", own) == (Limit(100, 0),)


def test_missing_or_invalid_files_mean_no_limit(tmp_path: Path) -> None:
    """macOS has no such files."""
    assert memory_limits(tmp_path, tmp_path / "own") == ()
    (tmp_path / "memory.max").write_text("none\n")
    (tmp_path / "own").write_text("strange\n")
    assert memory_limits(tmp_path, tmp_path / "own") == ()


def test_limits_of_this_machine_are_readable() -> None:
    """Limit and bytes left are both set, or both None."""
    limit, left = memory_limit(), memory_left()
    assert (limit is None) == (left is None)
    assert limit is None or left is None or limit > 0 <= left
