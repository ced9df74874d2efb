"""Settings of TLS."""

from typing import ClassVar

from rerank_service.settings.field_types import TlsFile
from rerank_service.settings.group import SettingsGroup


class TlsSettings(SettingsGroup):
    """Settings of TLS."""

    heading: ClassVar[str] = "TLS"

    tls_cert: TlsFile | None = None
    """PEM file with the certificate of the server, and after it the intermediate certificates. With it, both ports
    require TLS 1.2 or 1.3. Unix sockets stay without TLS. The files of TLS are read again when they change. Unset:
    connections are not encrypted. Example: /tls/tls.crt."""
    tls_key: TlsFile | None = None
    """PEM file with the private key of --tls-cert, without a passphrase. Example: /tls/tls.key."""
    tls_client_ca: TlsFile | None = None
    """PEM file with the certificates of authorities. With it, both ports require a client certificate that one of them
    has issued (mTLS). Unset: no client certificate is required. Example: /tls/ca.crt."""
