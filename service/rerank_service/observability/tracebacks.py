"""Tracebacks in the log: files, lines and classes of errors.

Rule: the message of an error that a request or a library caused is left out, because it may quote a text of a caller:
`could not convert string to float: 'Jane Doe'`. `--log-texts` shows it.
Reason: docs/decisions/0071-hidden-error-messages.md.
"""

import linecache
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import structlog

BY_CALLER = "_by_caller"
"""Field of a line whose error may quote a caller. No log shows it."""
HIDDEN = "message hidden, see --log-texts"
"""Text in the place of the message of an error."""

_Stacks = Sequence[Mapping[str, Any]]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Tracebacks:
    """Renders the error of a line. For structlog, as a processor before its renderer."""

    def __init__(self, *, as_text: bool, from_library: bool = False, texts: bool = False) -> None:
        """Select the form, and the messages that are hidden.

        Args:
            as_text: as text for people; otherwise as a list of dictionaries.
            from_library: all lines come from libraries, whose errors may quote a caller.
            texts: hide no message.
        """
        self._as_text = as_text
        self._from_library = from_library
        self._texts = texts
        # by default, structlog shows the local variables of each frame, and they may contain texts of callers
        self._stacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

    def __call__(self, _logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Replace the field `exc_info` by `exception`."""
        hides = (line.pop(BY_CALLER, False) or self._from_library) and not self._texts
        exc_info = _exc_info(line.pop("exc_info", None))
        if exc_info is None:
            return line
        stacks: _Stacks = self._stacks(exc_info)
        stacks = _hidden(stacks) if hides else stacks
        return {**line, "exception": _text(stacks) if self._as_text else stacks}


def _exc_info(given: Any) -> _ExcInfo | None:
    """Return what `sys.exc_info` does, for each value that the field `exc_info` may have."""
    error = (
        given if isinstance(given, BaseException) else (sys.exc_info() if given is True else given or (None, None))[1]
    )
    return None if error is None else (type(error), error, error.__traceback__)


def _hidden(stacks: _Stacks) -> list[dict[str, Any]]:
    """Return stacks without the messages of their errors, also of those in groups."""
    return [
        {**stack, "exc_value": HIDDEN, "exc_notes": [], "syntax_error": None}
        | {"exceptions": [_hidden(inner) for inner in stack.get("exceptions") or ()]}
        for stack in stacks
    ]


def _text(stacks: _Stacks) -> str:
    """Return stacks in the form of Python, the first error first."""
    return "\n".join(line for stack in reversed(stacks) for line in _lines(stack))


def _lines(stack: Mapping[str, Any]) -> Iterable[str]:
    yield "Traceback (most recent call last):"
    for frame in stack["frames"]:
        yield f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        if source := linecache.getline(frame["filename"], frame["lineno"]).strip():
            yield f"    {source}"
    yield f"{stack['exc_type']}: {stack['exc_value']}"
    for note in stack.get("exc_notes") or ():
        yield str(note)
    for inner in stack.get("exceptions") or ():
        yield from (f"  | {line}" for line in _text(inner).splitlines())
