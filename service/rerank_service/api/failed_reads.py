"""Failed reads of a file that is read again when it changes: which errors are logged, and when the next read is due."""

from rerank_service.errors import FileUnreadable, SettingsInvalid


class FailedReads:
    """The last failed read of a file, or of several files that belong together."""

    def __init__(self) -> None:
        self._unreadable = ""

    @property
    def is_due(self) -> bool:
        """True if the system could not read the file: the next call reads it again, also if it did not change."""
        return bool(self._unreadable)

    def is_new(self, error: SettingsInvalid) -> bool:
        """Count a failed read. Return False for the error of the read before, if that was tried again."""
        before, self._unreadable = self._unreadable, str(error) if isinstance(error, FileUnreadable) else ""
        return str(error) != before

    def succeeded(self) -> None:
        """Count a read that succeeded."""
        self._unreadable = ""
