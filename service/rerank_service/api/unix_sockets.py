"""Files of Unix sockets: stale files of a server that was killed, permissions, and removal at the end."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISSOCK

from rerank_service.api.address import UNIX
from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import wrong_host

_MODE = 0o666
"""Every user who can enter the folder may connect, as to a loopback address. Docs of uvicorn: --uds."""
_MAX_PATH_BYTES = 107
"""Limit of the kernel (man 7 unix, sun_path)."""


def listening_unix_socket(path: Path) -> socket.socket:
    """Return a socket that listens on a file.

    Raises:
        SettingsInvalid: as in `claim`, or the file cannot be created.
    """
    claim(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        allow_connections(path)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _unusable(path, str(error.strerror)) from error
    return listener


def claim(path: Path) -> None:
    """Check that a socket can be created at a path, and remove the file of a server that no longer runs.

    Raises:
        SettingsInvalid: as `check_free`.
    """
    check_free(path)
    path.unlink(missing_ok=True)


def check_free(path: Path) -> None:
    """Check that a socket can be created at a path, where the file of a server that no longer runs may be.

    Raises:
        SettingsInvalid: the path is too long, its folder is missing, another server listens, or the file is no socket.
    """
    if len(bytes(path)) > _MAX_PATH_BYTES:
        raise _unusable(path, f"the path is longer than {_MAX_PATH_BYTES} bytes")
    if not path.parent.is_dir():
        raise _unusable(path, f"{path.parent} is not a folder", fix="create it, or give another")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not S_ISSOCK(mode):
        raise _unusable(path, "the file exists and is no socket")
    if _has_listener(path):
        raise _unusable(path, "another server listens on it")


def allow_connections(path: Path) -> None:
    """Set the permissions of the file of a new socket."""
    path.chmod(_MODE)


@contextmanager
def removed_at_end(path: Path) -> Iterator[None]:
    """Remove the file of a socket after the block, unless it belongs to another server by then."""
    created = path.lstat().st_ino
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            if path.lstat().st_ino == created:
                path.unlink()


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog must not block the start
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno != errno.ECONNREFUSED
    return True


def _unusable(path: Path, reason: str, *, fix: str = "give another folder") -> SettingsInvalid:
    problem = f"the server cannot listen on {path}: {reason}; {fix}"
    return SettingsInvalid(wrong_host(f"{UNIX}{path.parent}", problem))
