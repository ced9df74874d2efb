"""TLS of the gRPC server."""

import grpc

from rerank_service.api.tls.certificates import Certificates
from rerank_service.api.tls.store import CertificateStore


def server_credentials(store: CertificateStore) -> grpc.ServerCredentials:
    """Return credentials that give each new connection the current certificates.

    Rule: each address needs credentials of its own, because gRPC asks for a change only once per change.
    """
    used = store.current()

    def changed() -> "grpc.ServerCertificateConfiguration | None":
        """Return the certificates if they have changed since the last call. gRPC calls this at each handshake."""
        nonlocal used
        current = store.current()
        if current is used:
            return None
        used = current
        return _configuration(current)

    require_client_certificate = store.files.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        changed,  # type: ignore[arg-type]  # None means unchanged, which types-grpcio does not know
        require_client_certificate,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pair = (certificates.key, certificates.chain)
    return grpc.ssl_server_certificate_configuration([pair], certificates.client_ca)
