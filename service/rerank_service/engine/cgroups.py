"""Find the cgroups of this process: the folders of its own group and of those above it.

/proc/self/cgroup names the process's group in each hierarchy (cgroups(7)). /proc/self/mountinfo names the folder where
a hierarchy is mounted, and the group at the top of that folder (proc_pid_mountinfo(5)). The part of the group's path
below that top is the path below the folder.

Version 1 has a hierarchy for each controller, or for several. Version 2 has one for all. Both may be mounted, and then
each controller belongs to one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SYSTEM = Path("/")
"""The root of the file system that contains /proc and /sys. Tests use another folder."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
"""A character in mountinfo that would separate fields, such as `\\040` for a space."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The groups of this process that one controller limits."""

    version: int
    """Version of cgroups, 1 or 2. It decides the names of the files."""
    folders: tuple[Path, ...]
    """Folder of the process's own group, then of each group above it that is visible. Some may not exist."""


@dataclass(frozen=True, slots=True)
class _Mount:
    """A line of mountinfo."""

    group: str
    """Path of the group at the top of the mount, or of the folder that is mounted from another file system."""
    folder: str
    kind: str
    options: tuple[str, ...]

    def has(self, controller: str, version: int) -> bool:
        return self.kind == "cgroup2" if version == 2 else self.kind == "cgroup" and controller in self.options

    def path_below(self, group: PurePosixPath) -> PurePosixPath | None:
        """Return the path of a group below the mount; None if the mount does not contain the group."""
        if not group.is_relative_to(self.group):
            return None
        path = group.relative_to(self.group)
        return None if ".." in path.parts else path  # `/../x` is outside the cgroup namespace of the process


def hierarchy(controller: str, system: Path = SYSTEM) -> Hierarchy | None:
    """Return the groups of this process for a controller, such as `cpu` or `memory`; None on systems without cgroups.

    If no mount contains the process's group, the top of the mount counts. This happens in a container with the host's
    cgroup namespace, and after a process was moved out of its namespace. OpenJDK does the same (cgroupUtil_linux.cpp).
    """
    group = _own_group(controller, system)
    if group is None:
        return None
    version, path = group
    mounts = [mount for mount in _mounts(system) if mount.has(controller, version)]
    if not mounts:
        return None
    mount, below = _place(mounts, path)
    top = system / mount.folder.lstrip("/")
    return Hierarchy(version, tuple(top / part for part in (below, *below.parents)))


def _place(mounts: list[_Mount], group: PurePosixPath) -> tuple[_Mount, PurePosixPath]:
    """Return the mount that shows a group and most groups above it, and the path below the mount."""
    found = [(mount, path) for mount in mounts if (path := mount.path_below(group)) is not None]
    return max(found, key=lambda place: len(place[1].parts), default=(mounts[0], PurePosixPath()))


def _own_group(controller: str, system: Path) -> tuple[int, PurePosixPath] | None:
    """Return the version and the path of the process's group. A line is `number:controllers:path`."""
    unified = None
    for line in _lines(system / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path and controller in controllers.split(","):
            return 1, PurePosixPath(path)
        if path and (number, controllers) == ("0", ""):
            unified = 2, PurePosixPath(path)
    return unified


def _mounts(system: Path) -> list[_Mount]:
    """Return the mounts that are visible: of two on the same folder, the later one hides the other."""
    lines = _lines(system / "proc/self/mountinfo")
    return list({mount.folder: mount for line in lines for mount in _parsed(line)}.values())


def _parsed(line: str) -> Iterator[_Mount]:
    """Yield the mount of a line: `id parent device group folder options … - kind source options`."""
    place, _, source = line.partition(" - ")
    fields, properties = place.split(" "), source.split(" ")
    if len(fields) > 5 and len(properties) > 2:
        yield _Mount(_unescaped(fields[3]), _unescaped(fields[4]), properties[0], tuple(properties[-1].split(",")))


def _unescaped(field: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
