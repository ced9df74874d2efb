"""A fake /proc and /sys in a folder, with the cgroups of a process."""

from dataclasses import dataclass
from pathlib import Path

V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
"""Line of mountinfo: version 2 at its usual place."""


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """The root of a file system."""

    system: Path

    def process(self, *groups: str, mounts: tuple[str, ...] = (V2,)) -> None:
        """Write the process's lines of /proc/self/cgroup and /proc/self/mountinfo."""
        self.write("proc/self", cgroup="\n".join(groups) + "\n", mountinfo="\n".join(mounts) + "\n")

    def group(self, folder: str, files: dict[str, str]) -> None:
        """Write files of a cgroup below /sys/fs/cgroup."""
        self.write(f"sys/fs/cgroup/{folder}", **files)

    def write(self, folder: str, **files: str) -> None:
        """Write files of a folder."""
        path = self.system / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name).write_text(content)


def mount_v1(controllers: str, folder: str, root: str = "/") -> str:
    """Return the line of mountinfo for a hierarchy of version 1."""
    return f"40 31 0:29 {root} {folder} rw,relatime - cgroup cgroup rw,{controllers}"
