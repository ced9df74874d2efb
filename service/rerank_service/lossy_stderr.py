"""Standard error for logs and progress. Text that cannot be written is dropped."""

import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MAX_WAIT = 0.1
"""Seconds that a line waits for a slow reader. Requests wait for lines of the log, which the event loop writes."""


class LossyFile(io.FileIO):
    """A file that drops bytes it cannot write. A log without a reader, or with one that hangs, loses lines, and no
    request fails. Progress that nobody can see does not end the work.

    It is not buffered, because a buffer that cannot be flushed at exit changes the exit status.
    """

    _stuck = False
    _torn = False
    _held: list[bytes] | None = None

    def hold(self) -> None:
        """Keep the lines in memory until `release`."""
        self._held = []

    def release(self) -> None:
        """Write the lines that were kept, and hold no others."""
        held, self._held = self._held, None
        for line in held or ():
            self.write(line)

    def write(self, content: "ReadableBuffer") -> int:
        """Write as much as possible, and report that everything was written."""
        line = memoryview(content).cast("B")
        if self._held is not None:
            self._held.append(bytes(line))
            return line.nbytes
        with suppress(OSError):
            # a pipe with any room takes PIPE_BUF bytes at once, without waiting
            for start in range(0, len(line), select.PIPE_BUF):
                if not self._has_room():
                    self._torn = self._torn or start > 0
                    break
                if self._torn and start == 0:
                    super().write(b"\n")
                    self._torn = False
                super().write(line[start : start + select.PIPE_BUF])
        return line.nbytes

    def _has_room(self) -> bool:
        """Wait for room. While the reader hangs, do not wait again for each line."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        self._stuck = not poll.poll(0 if self._stuck else _MAX_WAIT * 1000)
        return not self._stuck


def lossy_stderr(encoding: str = "utf-8") -> TextIO:
    """Return a stream on standard error that drops text that it cannot write."""
    if sys.stderr is None:  # by `2>&-`; descriptor 2 may then belong to any other file
        file = LossyFile(os.devnull, "w")
    else:
        try:
            file = LossyFile(sys.stderr.fileno(), "w", closefd=False)
        except io.UnsupportedOperation:  # a notebook or a test captures it
            return sys.stderr
    return io.TextIOWrapper(file, encoding, errors="backslashreplace", write_through=True)
