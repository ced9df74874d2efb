"""TLS of the commands that call a server: trusted authorities and a client certificate."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from rerank_service.errors import SettingsInvalid


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files for connections to a server. Each is optional."""

    ca: Path | None = None
    """Authorities that may have issued the certificate of the server. None: the well-known ones."""
    cert: Path | None = None
    """Client certificate, for servers that require one (mTLS)."""
    key: Path | None = None
    """Private key of the client certificate."""

    def check(self, *, ca: str = "--tls-ca", cert: str = "--tls-cert", key: str = "--tls-key") -> None:
        """Read the files. `ca`, `cert` and `key` are their flags or variables, for messages.

        Raises:
            SettingsInvalid: a file cannot be read or has wrong content, or only one of `cert` and `key` is set.
        """
        if (self.cert is None) != (self.key is None):
            given, missing = (cert, key) if self.key is None else (key, cert)
            raise SettingsInvalid(f"{given} is {str(self.cert or self.key)!r} and {missing} is unset: set both or none")
        for source, path in ((ca, self.ca), (cert, self.cert), (key, self.key)):
            _check_readable(source, path)
        try:
            ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise SettingsInvalid(f"{ca} is {str(self.ca)!r}: the file contains no certificate: give PEM") from error
        try:
            self.context()
        except ssl.SSLError as error:
            problem = f"they cannot be used ({error.reason or error}): give a certificate and its key as PEM"
            raise SettingsInvalid(f"{cert} is {str(self.cert)!r}, {key} is {str(self.key)!r}: {problem}") from error

    def context(self) -> ssl.SSLContext:
        """Return the context for HTTP.

        Raises:
            OSError: a file cannot be read or has wrong content.
        """
        import httpx  # 0.2 s, and most commands need no TLS

        context = ssl.create_default_context(cafile=self.ca) if self.ca else httpx.create_ssl_context()
        if self.cert:
            context.load_cert_chain(self.cert, self.key, password="")  # an encrypted key is an error, not a prompt
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a gRPC channel.

        Raises:
            OSError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(_content(self.ca), _content(self.key), _content(self.cert))


def _content(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def _check_readable(source: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{source} is {str(path)!r}: the file cannot be read ({error.strerror})") from error
