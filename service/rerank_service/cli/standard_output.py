"""Standard output of commands: characters that its encoding does not have, and errors of writing."""

import codecs
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress

_ERRORS = "rerank-json-escapes"


def escape_unencodable() -> None:
    r"""Write a character that the encoding of the terminal does not have as `\uXXXX`, which is valid in JSON, too.

    Without this, a Latin-1 terminal would end the command with an error after the ranking.
    """
    codecs.register_error(_ERRORS, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ERRORS)


def flush_output() -> None:
    """Write the buffered output.

    Raises:
        OSError: the disk is full, or the reader has ended.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_unwritable() -> None:
    """Discard buffered output that cannot be written: Python would try it again at its exit."""
    with suppress(OSError):
        flush_output()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_then_print(write: Callable[[], object], show: Callable[[], object]) -> None:
    """Write the files of a command, and then print its result, also if a file cannot be written.

    Files come first: the reader of the output may have ended, as in `rerank eval … | head -1`. Then, rich ends the
    process when it prints, so the error of a file is raised after that.

    Raises:
        Exception: that of `write`, or else that of `show`.
    """
    try:
        write()
    except Exception:
        with suppress(OSError, SystemExit):
            show()
        raise
    show()


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)]
    return "".join(escapes), error.end
