"""Terminals that tests can read."""

import io


class TerminalText(io.StringIO):
    """A text that programs take for a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True
