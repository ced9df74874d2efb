"""The error that ends an export, and helpers to describe errors of other libraries."""

import errno


class ExportFailed(Exception):
    """The model cannot be exported. The message is one line: the cause and the next step."""


def one_line(error: Exception) -> str:
    """Return the first paragraph of another library's message, on one line and without a final full stop.

    Later paragraphs are left out: they advise users of that library.
    """
    return " ".join(str(error).strip().partition("\n\n")[0].split()).rstrip(".")


def is_disk_full(error: BaseException) -> bool:
    """Return True if a write failed for lack of space: a full disk, a quota, or a limit on the size of a file."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
