"""Text of others in errors and log lines: short enough, and in one line."""

_EXCERPT_CHARS = 100
"""gRPC sends messages in headers, whose size is limited."""


def excerpt(text: str) -> str:
    """Return the beginning of a caller's text, short enough for an error message."""
    return text if len(text) <= _EXCERPT_CHARS else f"{text[:_EXCERPT_CHARS]}…"


def short_line(text: str) -> str:
    """Return the beginning of a text of others, in one line."""
    return one_line(excerpt(text))


def one_line(error: BaseException | str) -> str:
    """Return the message of an error, or another text, in one line. Characters that do not print are escaped."""
    return printable(" ".join(str(error).split()) or type(error).__name__)


def printable(text: str) -> str:
    """Return a text with escapes in the place of characters that do not print, such as line breaks."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]
