"""TLS of the REST server."""

import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any, Self

from rerank_service.api.tls.store import CertificateStore

_READ_BYTES = 32 * 1024
"""Size of the buffer for encrypted bytes of a connection: two records. asyncio allocates 256 KiB for each connection,
from its first byte on."""


def limit_read_buffers() -> None:
    """Let new connections with TLS allocate less. asyncio has no setting for it."""
    if hasattr(SSLProtocol, "max_size"):
        SSLProtocol.max_size = _READ_BYTES


class CurrentContext(ssl.SSLContext):
    """A context that gives each new connection the current certificates.

    Each connection belongs wholly to one state of the files. So no session of a client whose authority was removed is
    resumed, as it would be if one context loaded its files again.
    """

    _store: CertificateStore

    @classmethod
    def of(cls, store: CertificateStore) -> Self:
        """Return the context of a store."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._store = store
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Return the TLS side of a new connection. asyncio calls this method for each connection."""
        return self._store.current().context.wrap_bio(*arguments, **options)
