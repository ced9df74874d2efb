"""Temporary folders for graphs. That of a killed process is removed by the next process that makes one beside it.

A graph may have gigabytes, and the volume of a pod is kept when its container starts again. A process holds a lock on
its folder, which the kernel releases when the process ends in any way.
"""

import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = ".rerank-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
"""Flags of `os.open`. Others may put a FIFO, whose opening waits, or a link into the folder for temporary files."""
_ABANDONED_SECONDS = 24 * 60 * 60.0
"""Age after which a folder is removed if locks do not show whether its process runs: that of another machine, or one on
a file system without locks."""


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is removed afterwards. Remove those of killed processes first.

    Raises:
        OSError: the folder cannot be made.
    """
    for other in parent.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(other)
    temporary, lock = _locked_folder(parent)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Return a new folder, and the open descriptor that holds its lock.

    Another process may remove the folder before it is locked. Then, the next one is made.
    """
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{socket.gethostname()}-", dir=parent))
        with suppress(FileNotFoundError):
            lock = os.open(temporary, _FOLDER)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_SH)
            if temporary.exists():
                return temporary, lock
            os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder if its process has ended. Others may remove it at the same time."""
    with suppress(OSError):
        if folder.name.rpartition("-")[0] != f"{_PREFIX}{socket.gethostname()}":
            remove_if_old(folder)
            return
        opened = os.open(folder, _FOLDER)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process runs
        except OSError:
            remove_if_old(folder)
        finally:
            os.close(opened)


def remove_if_old(folder: Path) -> None:
    """Remove a folder that nothing has changed for a day.

    Raises:
        OSError: it is gone, for example.
    """
    if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
        shutil.rmtree(folder, ignore_errors=True)
