"""A file that is read and hashed at the same time. A pipe can be read only once."""

import hashlib
import io
from pathlib import Path


class DigestedFile(io.RawIOBase):
    """The bytes of a file. `digest` covers those that were read."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            OSError: the file cannot be read.
        """
        self._file = path.open("rb", buffering=0)
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The sha256 of the bytes that were read, in hex."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        """Read bytes into a buffer, and return their number."""
        count = self._file.readinto(buffer)
        self._hash.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
