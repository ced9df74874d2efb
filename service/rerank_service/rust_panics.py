"""Panics of libraries in Rust, such as tokenizers and sentencex.

A panic is a bug of the library. In Python it is raised as `PanicException`, which is no subclass of Exception and has
no public name. So `except Exception` would miss it: a request would wait for its deadline, and a load would end the
server.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class RustPanic(Exception):
    """A library in Rust panicked.

    The message of a panic may quote the text on which it happened, so it is not passed on: Rust has written it to
    standard error.
    """


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a panic in the block as RustPanic. All other errors stay as they are."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RustPanic("a library in Rust panicked; standard error has the reason") from None
