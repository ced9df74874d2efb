"""Standard output of commands: characters that its encoding does not have, and errors of writing."""

import codecs
import io
import os
import sys
from collections.abc import Callable, Iterable
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


def write_then_print(writes: Iterable[Callable[[], object]], show: Callable[[], object]) -> None:
    """Write the files of a command, and then print its result. A file that cannot be written keeps nothing else from
    being written or printed. If a generator of `writes` fails, the result is printed, too.

    Files come first: the reader of the output may have ended, as in `rerank eval … | head -1`. Then, rich ends the
    process when it prints, so errors of files are raised after that.

    Raises:
        OutputNotWritten: several files cannot be written.
        Exception: that of one of `writes` or of their generator, or else that of `show`.
    """
    from rerank_service.errors import OperatorError, OutputNotWritten  # imports gRPC, which `--version` does not need

    errors = _errors_of(writes)
    if not errors:
        show()
        return
    with suppress(OSError, SystemExit):
        show()
    unexpected = [error for error in errors if not isinstance(error, OSError | OperatorError)]
    if unexpected or len(errors) == 1:
        raise (unexpected or errors)[0]
    raise OutputNotWritten("; ".join(map(_text, errors))) from errors[0]


def _errors_of(writes: Iterable[Callable[[], object]]) -> list[Exception]:
    """Run all `writes`, and return their errors, and that of a generator which makes them."""
    errors: list[Exception] = []
    try:
        for write in writes:
            try:
                write()
            except Exception as error:  # noqa: BLE001 - raised again by the caller
                errors.append(error)
    except Exception as error:  # noqa: BLE001 - as above
        errors.append(error)
    return errors


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    escapes = [f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)]
    return "".join(escapes), error.end
