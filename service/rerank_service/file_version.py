"""Version of a file that is read again when it changes, such as keys and certificates."""

import errno
from pathlib import Path

FileVersion = tuple[int, ...] | None
"""Numbers that change with the file. None: there is no file."""


def file_version(path: Path) -> FileVersion:
    """Return the version of a file, from its status. Links are followed, as Kubernetes swaps them."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_regular(path: Path) -> None:
    """Check that a file can be read at once. A read of a FIFO would wait for its writer.

    Raises:
        OSError: it is a FIFO or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
