"""Files of weights that are mapped into the memory of this process, and changes of them.

ONNX Runtime and OpenVINO map weights beside a graph: the kernel reads a page when a batch needs it, and replicas on one
machine share the memory. A file that is renamed or removed stays as it was, for this process. But a file that is
written in place changes below the running model: scores mix two models, or the process ends by SIGBUS where the file
has become shorter. No copy of the weights would be free, so the file is observed: its status is read before and after
each batch, which takes a microsecond. A `write` changes the status before it changes the content, so no batch that used
other weights is ever delivered.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rerank_service.engine.runtime import Graph
from rerank_service.errors import WeightsChanged

_MAPS = Path("/proc/self/maps")


@dataclass(slots=True)
class _OpenFile:
    """A file that is kept open, so that it is found again whatever happens to its name."""

    path: Path
    descriptor: int
    status: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.status = self.current()

    def current(self) -> tuple[int, int]:
        """Return size and time of the last change. Renaming or removing a file changes neither."""
        status = os.fstat(self.descriptor)
        return status.st_size, status.st_mtime_ns

    def __del__(self) -> None:
        os.close(self.descriptor)


class WatchedFiles:
    """Files that a graph may map. Create it before the graph is loaded."""

    def __init__(self, graph: Graph) -> None:
        """Open the files beside a graph. Files that cannot be read are left out, because no graph can use them."""
        self._files = list(_open_files(graph.parent)) if isinstance(graph, Path) else []

    def keep_mapped(self) -> None:
        """Keep the files that this process has mapped, and close the others. Call it after the graph is loaded."""
        inodes, paths = _mapped()
        self._files = [
            file
            for file in self._files
            if os.fstat(file.descriptor).st_ino in inodes or os.path.realpath(file.path) in paths
        ]

    def __bool__(self) -> bool:
        """Return True if there is a file to observe."""
        return bool(self._files)

    def check(self) -> None:
        """Compare the files with their status at the start. Thread-safe.

        Raises:
            WeightsChanged: a file was written in place.
        """
        for file in self._files:
            if file.current() != file.status:
                raise WeightsChanged(
                    f"{file.path} was changed in place while the server used it, so its scores would be wrong: write a "
                    "new bundle beside the old one and rename it, as `mv` does (docs/reliability.md)"
                )


def _open_files(folder: Path) -> Iterator[_OpenFile]:
    for path in sorted(folder.glob("*")):  # an error about a missing folder comes with its graph
        if path.is_file():  # a FIFO would block
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            yield _OpenFile(path, descriptor)


def _mapped() -> tuple[set[int], set[str]]:
    """Return inodes and paths of the mapped files. An overlay, such as a container image, may show other inodes."""
    try:
        lines = _MAPS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set(), set()
    entries = [parts for line in lines if len(parts := line.split(maxsplit=5)) == 6]
    return {int(parts[4]) for parts in entries}, {parts[5] for parts in entries}
