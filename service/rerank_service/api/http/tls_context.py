"""TLS of the REST server."""

import ssl
from typing import Any, Self

from rerank_service.api.tls.store import CertificateStore


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
