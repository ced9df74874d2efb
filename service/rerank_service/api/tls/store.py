"""Current certificates: read again when a file changes, so that they can be renewed without a restart."""

import threading

import structlog

from rerank_service.api.failed_reads import FailedReads
from rerank_service.api.tls.certificates import Certificates, read_certificates
from rerank_service.api.tls.files import TlsFiles
from rerank_service.errors import SettingsInvalid
from rerank_service.file_version import FileVersion

_log = structlog.get_logger()
_MAX_TRIES = 10
"""Number of times that files are read at the start until they do not change meanwhile."""


class CertificateStore:
    """Certificates of new connections. Both servers share it, so that they change at the same time.

    Rule: files that are wrong or incomplete never replace valid certificates.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            SettingsInvalid: as in `read_certificates`.
        """
        self.files = files
        self._lock = threading.Lock()  # gRPC asks on a thread of its own
        self._up_to_date = True
        self._failed = FailedReads()
        for _ in range(_MAX_TRIES):
            self._versions = files.versions()
            self._certificates = read_certificates(files)
            if files.versions() == self._versions:
                break

    def current(self) -> Certificates:
        """Return the certificates of a connection that starts now. Read the files first if one has changed.

        If the new files are wrong, log the reason once and return the certificates from before. Files that the system
        cannot read, as without free descriptors, are read again by each call until that succeeds.
        """
        with self._lock:
            versions = self.files.versions()
            if versions != self._versions or self._failed.is_due:
                self._reload(versions)
            return self._certificates

    def up_to_date(self) -> bool:
        """Return False if the files changed, and the new ones are wrong. Read them first if one has changed."""
        self.current()
        return self._up_to_date

    def _reload(self, versions: tuple[FileVersion, ...]) -> None:
        try:
            certificates = read_certificates(self.files)
        except SettingsInvalid as error:
            # certificate and key are seldom replaced at the same time: the next connection may find both
            if self.files.versions() == versions:
                self._versions, self._up_to_date = versions, False
                if self._failed.is_new(error):
                    _log.error("TLS files not reloaded", why=str(error), still_used_until=self._certificates.not_after)
            return
        self._failed.succeeded()
        if self.files.versions() == versions:
            self._versions, self._up_to_date = versions, True
            self._certificates = certificates
            _log.info("TLS files reloaded", cert=str(self.files.cert), expires=certificates.not_after)
