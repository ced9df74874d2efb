"""Reload the file of API keys when it changes."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from rerank_service.api.api_keys_file import read_keys
from rerank_service.api.auth import KnownKey
from rerank_service.api.failed_reads import FailedReads
from rerank_service.errors import SettingsInvalid
from rerank_service.file_version import file_version

_log = structlog.get_logger()


class ReloadedKeys:
    """The keys of a file, which is read again when it changes.

    A change is visible in the status of the file, which costs about 2 µs to read. So each request looks, and a removed
    key is rejected from the next request on. Kubernetes replaces a mounted Secret by a new file with another inode.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SettingsInvalid: the file cannot be read, or an entry is wrong.
        """
        self._path = path
        self._version = file_version(path)
        self._failed = FailedReads()
        self.keys: Sequence[KnownKey] = read_keys(path)
        """The keys of the last valid file."""
        self.up_to_date = True
        """False if the file changed since then, and is invalid."""

    def changed(self) -> Sequence[KnownKey] | None:
        """Return the keys if the file changed, else None. An invalid file changes nothing, and is logged once.

        A file that the system cannot read, as without free descriptors, is read again by each call until that succeeds.
        Otherwise, removed keys would stay valid until the next change.
        """
        version = file_version(self._path)
        if version == self._version and not self._failed.is_due:
            return None
        self._version = version
        try:
            keys = read_keys(self._path, regular=True)
        except SettingsInvalid as error:
            self.up_to_date = False
            if self._failed.is_new(error):
                _log.error("API keys not reloaded", error=str(error), kept=len(self.keys))
            return None
        self.up_to_date = True
        self._failed.succeeded()
        _log.info("API keys reloaded", **_difference(self.keys, keys))
        self.keys = keys
        return keys


def _difference(before: Sequence[KnownKey], after: Sequence[KnownKey]) -> dict[str, object]:
    """Return the number of keys, and the names that are new, gone or different."""
    old = {key.caller.name: key for key in before}
    new = {key.caller.name: key for key in after}
    changed = [name for name in new.keys() & old.keys() if new[name] != old[name]]
    return {
        "keys": len(new),
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(changed),
    }
