"""The cgroups of a process, found in folders that look like /proc and /sys."""

from pathlib import Path

import pytest

from rerank_service.engine.cgroups import hierarchy
from support.cgroup_tree import V2, CgroupTree, mount_v1

HYBRID = ("4:cpu,cpuacct:/user.slice", "3:memory:/", "1:name=systemd:/user.slice/a", "0::/user.slice/a")


def folders(tmp_path: Path, controller: str = "cpu") -> list[str]:
    """Return the folders of the groups, from the process's own on, without the temporary folder."""
    groups = hierarchy(controller, tmp_path)
    assert groups is not None
    return [str(folder.relative_to(tmp_path)) for folder in groups.folders]


def test_groups_below_the_mount_and_above_the_process(tmp_path: Path) -> None:
    """A service of systemd, without a container. A `:` in the path of a group is no separator."""
    CgroupTree(tmp_path).process("0::/system.slice/rerank:1.service")
    assert folders(tmp_path) == [
        "sys/fs/cgroup/system.slice/rerank:1.service",
        "sys/fs/cgroup/system.slice",
        "sys/fs/cgroup",
    ]


@pytest.mark.parametrize(
    ("group", "root", "expected"),
    [
        ("/", "/", ["top"]),  # a container with a cgroup namespace
        ("/docker/a", "/docker/a", ["top"]),  # a container with the host's namespace
        ("/docker/a/docker/b", "/docker/a/docker/b", ["top"]),  # docker in docker
        ("/docker/a/sub", "/docker/a", ["top/sub", "top"]),  # a group that the container made
        ("/docker/ab", "/docker/a", ["top"]),  # another group with the same beginning
        ("/moved", "/docker/a", ["top"]),
        ("/../b", "/", ["top"]),  # moved out of its namespace
        ("/../b", "/..", ["top/b", "top"]),  # the same, with the mount of the namespace above
        ("/", "/../..", ["top"]),  # a new namespace without a mount of its own
    ],
)
def test_path_of_the_group_minus_the_root_of_the_mount(
    group: str, root: str, expected: list[str], tmp_path: Path
) -> None:
    """The mount may show a part of the hierarchy only. Where it does not contain the group, its top counts."""
    line = f"35 24 0:30 {root} /top rw - cgroup2 none rw"
    CgroupTree(tmp_path).process(f"0::{group}", mounts=(line,))
    assert folders(tmp_path) == expected


def test_hybrid_hosts_have_a_version_for_each_controller(tmp_path: Path) -> None:
    """A controller of version 1 has a line with its name. The mount may have another name than the controller."""
    mounts = (
        mount_v1("cpuset", "/sys/fs/cgroup/cpuset"),
        mount_v1("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        mount_v1("name=systemd", "/sys/fs/cgroup/systemd"),
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
    )
    CgroupTree(tmp_path).process(*HYBRID, mounts=mounts)
    assert folders(tmp_path, "cpu") == ["sys/fs/cgroup/cpu,cpuacct/user.slice", "sys/fs/cgroup/cpu,cpuacct"]
    assert hierarchy("memory", tmp_path) is None  # its hierarchy is not mounted
    assert folders(tmp_path, "io")[0] == "sys/fs/cgroup/unified/user.slice/a"


def test_visible_mount_with_most_groups_counts(tmp_path: Path) -> None:
    """The host's hierarchy may be mounted in a container. Of two mounts on one folder, the later one is visible."""
    host = "50 24 0:30 / /host/sys/fs/cgroup rw - cgroup2 none rw"
    part = "51 24 0:30 /pods/a /sys/fs/cgroup rw - cgroup2 none rw"
    other = "52 24 0:30 /pods/b /b rw - cgroup2 none rw"
    tree = CgroupTree(tmp_path)
    tree.process("0::/pods/a", mounts=(other, part, host))
    assert folders(tmp_path) == ["host/sys/fs/cgroup/pods/a", "host/sys/fs/cgroup/pods", "host/sys/fs/cgroup"]
    tree.process("0::/pods/a", mounts=(host, "60 24 0:3 / /host/sys/fs/cgroup rw - tmpfs tmpfs rw", part))
    assert folders(tmp_path) == ["sys/fs/cgroup"]


def test_escaped_mount_folder(tmp_path: Path) -> None:
    """The kernel writes a space as `\\040`."""
    CgroupTree(tmp_path).process("0::/a", mounts=(r"35 24 0:30 / /my\040groups rw - cgroup2 none rw",))
    assert folders(tmp_path) == ["my groups/a", "my groups"]


@pytest.mark.parametrize(
    ("group", "mount"),
    [("garbage", V2), ("::", V2), ("0::", V2), ("0::/a", "garbage"), ("0::/a", "1 2 3 - cgroup2"), ("", "")],
)
def test_garbage_means_no_cgroups(group: str, mount: str, tmp_path: Path) -> None:
    """The same as missing files."""
    assert hierarchy("cpu", tmp_path) is None
    CgroupTree(tmp_path).process(group, mounts=(mount,))
    assert hierarchy("cpu", tmp_path) is None
