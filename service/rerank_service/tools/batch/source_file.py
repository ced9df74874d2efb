"""IN, which must not change while a job reads it: the rows of a part are saved under the digest of the whole file."""

from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.job_identity import WAYS_ON, input_digest

_State = tuple[int, int, int, int]


class SourceFile:
    """The content of a file at the start of a job."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            OSError: the file cannot be read.
        """
        self._path = path
        self._state = _state(path)  # before the digest: a change meanwhile is seen by `check`
        self.digest = input_digest(path)
        """The sha256 of the file, in hex."""

    def check(self) -> None:
        """Check that the file has the same content. It is read only if it was written or replaced.

        Raises:
            FileInvalid: the content has changed, or the file cannot be read.
        """
        try:
            state = _state(self._path)
            digest = self.digest if state == self._state else input_digest(self._path)
        except OSError as error:
            raise _changed(f"{self._path} cannot be read any more: {error.strerror}") from error
        if digest != self.digest:
            raise _changed(f"{self._path} has changed since the job began")
        self._state = state


def _state(path: Path) -> _State:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _changed(reason: str) -> FileInvalid:
    return FileInvalid(f"{reason}. Finished parts are kept: {WAYS_ON}")
