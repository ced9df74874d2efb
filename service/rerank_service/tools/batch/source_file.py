"""IN, which must not change while a job reads it: the rows of a part are saved under the digest of the whole file."""

from dataclasses import dataclass
from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.job_identity import WAYS_ON, input_digest


@dataclass(frozen=True, slots=True)
class _State:
    """The attributes that show that a file was written or replaced."""

    written: tuple[int, int]
    """Size, and time of the last write in nanoseconds."""
    place: tuple[int, int]
    """Device and inode."""


class SourceFile:
    """The content of a file at the start of a job."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            OSError: the file cannot be read.
        """
        self._path = path
        self._state = _state(path)  # before the digest: a change meanwhile is seen by `check`
        self._has_place = True
        """False if the device or the inode of an unchanged file was another one, as on some network file systems."""
        self._error: FileInvalid | None = None
        self.digest = input_digest(path)
        """The sha256 of the file, in hex."""

    def check(self) -> None:
        """Check that the file has the same content. It is read only if it was written or replaced.

        Raises:
            FileInvalid: the content has changed, or the file cannot be read.
        """
        if self._error is not None:
            raise self._error
        try:
            self._compare()
        except OSError as error:
            self._error = _changed(f"{self._path} cannot be read any more: {error.strerror}")
            raise self._error from error

    def _compare(self) -> None:
        state = _state(self._path)
        is_written = state.written != self._state.written
        if not is_written and (not self._has_place or state.place == self._state.place):
            return
        if input_digest(self._path) != self.digest:
            self._error = _changed(f"{self._path} has changed since the job began")
            raise self._error
        self._has_place = self._has_place and is_written
        self._state = state


def _state(path: Path) -> _State:
    found = path.stat()
    return _State((found.st_size, found.st_mtime_ns), (found.st_dev, found.st_ino))


def _changed(reason: str) -> FileInvalid:
    return FileInvalid(f"{reason}. Finished parts are kept: {WAYS_ON}")
