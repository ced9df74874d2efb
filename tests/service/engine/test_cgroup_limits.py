"""CPU quota and memory limits, read from folders that look like /proc and /sys."""

from pathlib import Path

import pytest

from rerank_service.engine.cgroup_limits import MemoryLimit, cpu_quota, memory_left, memory_limit, memory_limits
from support.cgroup_tree import CgroupTree, mount_v1

GIB = 2**30


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    """Return the tree of a process in `/pods/one`, in version 2."""
    tree = CgroupTree(tmp_path)
    tree.process("0::/pods/one")
    return tree


@pytest.fixture
def tree_v1(tmp_path: Path) -> CgroupTree:
    """Return the tree of a process in `/pods/one`, in version 1."""
    tree = CgroupTree(tmp_path)
    mounts = (mount_v1("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"), mount_v1("memory", "/sys/fs/cgroup/memory"))
    tree.process("4:cpu,cpuacct:/pods/one", "3:memory:/pods/one", "1:name=systemd:/", mounts=mounts)
    return tree


def _v2(limit: str, used: int, inactive_file: int = 0, **others: str) -> dict[str, str]:
    files = {"max": limit, "current": str(used), "stat": f"anon 5\ninactive_file {inactive_file}\nactive_file 7\n"}
    return {f"memory.{name}": f"{content}\n" for name, content in (files | others).items()}


def _v1(limit: int, used: int, inactive_file: int = 0, **others: str) -> dict[str, str]:
    stat = f"inactive_file 3\ntotal_inactive_file {inactive_file}\n"
    files = {"limit_in_bytes": str(limit), "usage_in_bytes": str(used), "stat": stat}
    return {f"memory.{name}": f"{content}\n" for name, content in (files | others).items()}


@pytest.mark.parametrize(
    ("own", "above", "top", "quota"),
    [
        ("50000 100000", None, None, 0.5),
        ("max 100000", "150000 100000", None, 1.5),
        ("400000 100000", "10000 20000", "900000 100000", 0.5),
        ("max 100000", "max 100000", None, None),
        ("200000", None, None, 2.0),  # the period is 100 ms by default
        ("100000 0", None, "300000 100000", 3.0),
        ("0 100000", None, None, None),
        ("-1 100000", None, None, None),
        ("garbage", "1 2 3 4", "", 0.5),
    ],
)
def test_smallest_quota_of_a_group_and_those_above(
    own: str, above: str | None, top: str | None, quota: float | None, tree: CgroupTree
) -> None:
    """Each group may have one. Other content does not count."""
    for folder, content in (("pods/one", own), ("pods", above), ("", top)):
        if content is not None:
            tree.group(folder, {"cpu.max": f"{content}\n"})
    assert cpu_quota(tree.system) == quota


def test_quota_of_version_1(tree_v1: CgroupTree) -> None:
    """Version 1 keeps quota and period in two files. -1 means no quota."""
    assert cpu_quota(tree_v1.system) is None
    tree_v1.group("cpu,cpuacct", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"})
    assert cpu_quota(tree_v1.system) is None
    tree_v1.group("cpu,cpuacct/pods", {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"})
    tree_v1.group("cpu,cpuacct/pods/one", {"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"})
    assert cpu_quota(tree_v1.system) == 0.5


def test_unreadable_quota_does_not_count(tree: CgroupTree) -> None:
    """A folder in its place cannot be read, even by root."""
    tree.group("pods/one/cpu.max", {})
    tree.group("pods", {"cpu.max": "200000 100000\n"})
    assert cpu_quota(tree.system) == 2.0


def test_memory_limit_of_a_container_is_at_the_top(tree: CgroupTree) -> None:
    """A container may not see its path on the host. File pages that the kernel would drop count as free."""
    tree.group("", _v2(str(2 * GIB), GIB, 1000))
    (limit,) = memory_limits(tree.system)
    file = tree.system / "sys/fs/cgroup/memory.max"
    assert limit == MemoryLimit(file, limit=2 * GIB, left=GIB + 1000, fatal=2 * GIB)


def test_memory_limits_of_parent_groups_count(tree: CgroupTree) -> None:
    """The limit of a pod is above that of its containers. `max` is no limit."""
    tree.group("pods/one", _v2("max", 10))
    tree.group("pods", _v2("5000", 4000))
    assert [(limit.limit, limit.left) for limit in memory_limits(tree.system)] == [(5000, 1000)]


def test_memory_high_is_a_limit_that_kills_no_process(tree: CgroupTree) -> None:
    """The kernel slows a group down above memory.high (MemoryHigh= of systemd)."""
    tree.group("pods/one", _v2("5000", 1000, high="3000"))
    assert [(limit.limit, limit.left, limit.fatal) for limit in memory_limits(tree.system)] == [
        (5000, 4000, 5000),
        (3000, 2000, None),
    ]
    assert (memory_limit(tree.system), memory_left(tree.system)) == (3000, 2000)


@pytest.mark.parametrize(("swap", "fatal"), [("max", 5000 + 2048), ("1000", 6000), ("0", 5000), (None, 5000 + 2048)])
def test_swap_is_used_before_a_process_is_killed(swap: str | None, fatal: int, tree: CgroupTree) -> None:
    """A group uses at most the host's swap and its own limit. Without accounting, it has no limit of its own."""
    tree.write("proc", meminfo="MemTotal: 99 kB\nSwapTotal: 2 kB\n")
    tree.group("pods/one", _v2("5000", 10) | ({} if swap is None else {"memory.swap.max": swap}))
    assert [limit.fatal for limit in memory_limits(tree.system)] == [fatal]


def test_memory_limits_of_version_1(tree_v1: CgroupTree) -> None:
    """Version 1 has other file names, and writes a large number for no limit. memsw limits memory and swap together."""
    tree_v1.write("proc", meminfo="SwapTotal: 2 kB\n")
    tree_v1.group("memory", _v1(2**63 - 4096, 100))
    tree_v1.group("memory/pods/one", _v1(3000, 2500, 200, **{"memsw.limit_in_bytes": "3500"}))
    assert [(limit.limit, limit.left, limit.fatal) for limit in memory_limits(tree_v1.system)] == [(3000, 700, 3500)]


def test_full_group_has_zero_bytes_left(tree: CgroupTree) -> None:
    """The result is not negative."""
    tree.group("", _v2("100", 120))
    assert memory_left(tree.system) == 0


def test_missing_or_invalid_files_mean_no_limit(tmp_path: Path, tree: CgroupTree) -> None:
    """macOS has no such files."""
    assert (cpu_quota(tmp_path / "none"), memory_limits(tmp_path / "none")) == (None, ())
    assert memory_limits(tree.system) == ()
    tree.group("pods/one", {"memory.max": "none\n", "memory.current": "1\n"})
    tree.group("pods", {"memory.max": "100\n"})  # how much is used is not known
    tree.group("", {"memory.max": "100\n", "memory.current": "7\n", "memory.stat": "inactive_file\n\nnone\n"})
    assert [limit.left for limit in memory_limits(tree.system)] == [93]


def test_limits_of_this_machine_are_readable() -> None:
    """Limit and bytes left are both set, or both None."""
    limit, left, quota = memory_limit(), memory_left(), cpu_quota()
    assert (limit is None) == (left is None)
    assert limit is None or left is None or limit > 0 <= left
    assert quota is None or quota > 0
