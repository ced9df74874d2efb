"""Files of TLS: the certificate, its private key and the authorities of client certificates."""

from dataclasses import dataclass
from pathlib import Path

from rerank_service.errors import FileUnreadable, SettingsInvalid
from rerank_service.file_version import FileVersion, file_version
from rerank_service.settings_errors import flag, variable, wrong_value

CERT, KEY, CLIENT_CA = "tls_cert", "tls_key", "tls_client_ca"
"""Names of the settings."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of the PEM files."""

    cert: Path
    """Certificate of the server, followed by intermediate certificates."""
    key: Path
    """Private key of the certificate."""
    client_ca: Path | None = None
    """Certificates of the authorities that issue client certificates. None: clients need none."""

    def versions(self) -> tuple[FileVersion, ...]:
        """Return the versions of all files."""
        return tuple(file_version(path) for path in (self.cert, self.key, self.client_ca) if path)


def tls_files(cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    """Return the files of three settings, or None if all are unset.

    Raises:
        SettingsInvalid: certificate and key are not set together.
    """
    if cert and key:
        return TlsFiles(cert, key, client_ca)
    given, path = next(
        ((name, path) for name, path in ((CERT, cert), (KEY, key), (CLIENT_CA, client_ca)) if path), ("", None)
    )
    if path is None:
        return None
    missing = CERT if key or not cert else KEY
    raise refusal(given, path, f"has no effect without {flag(missing)}: set {flag(missing)} or {variable(missing)} too")


def refusal(name: str, path: Path, problem: str) -> SettingsInvalid:
    """Return the error of a file. `name` is its setting; `problem` has the fault and the next step."""
    return SettingsInvalid(wrong_value(name, str(path), f"the file {problem}"))


def unreadable(name: str, path: Path, error: OSError) -> FileUnreadable:
    """Return the error of a file that the system cannot read. `name` is its setting."""
    problem = f"the file cannot be read ({error.strerror}): give a PEM file that this user can read"
    return FileUnreadable(wrong_value(name, str(path), problem))
