"""Why a model cannot be exported."""

import errno


class ExportFailed(Exception):
    """One line for a person: what is wrong, and what to do."""


def one_line(error: Exception) -> str:
    """The first paragraph of what a foreign error says, as part of a line of ours; advice comes in the others."""
    return " ".join(str(error).strip().partition("\n\n")[0].split()).rstrip(".")


def is_disk_full(error: BaseException) -> bool:
    """Whether it says that no more can be written: no space, a quota, a limit on the size of files."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
