"""Certificates of the server: read them from files, and check that clients can accept them."""

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rerank_service.api.tls.files import CERT, CLIENT_CA, KEY, TlsFiles, refusal, unreadable
from rerank_service.file_version import check_regular

_X509_V_FLAG_NO_CHECK_TIME = 0x200000
"""Flag of OpenSSL (X509_VERIFY_PARAM_set_flags) that the module ssl has no name for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Valid content of the files."""

    chain: bytes
    """Certificate of the server and intermediate certificates, as PEM."""
    key: bytes
    """Private key, as PEM."""
    client_ca: bytes | None
    """Authorities of client certificates, as PEM. None: clients need no certificate."""
    context: ssl.SSLContext
    """The same for the module ssl."""
    not_after: str
    """Time when the certificate expires, as OpenSSL prints it, such as `Nov 26 07:49:54 2027 GMT`."""
    chain_expires: float
    """Time when the first certificate of the chain expires, in seconds since 1970."""


def read_certificates(files: TlsFiles) -> Certificates:
    """Read the files and check them.

    Raises:
        FileUnreadable: a file cannot be read.
        SettingsInvalid: a file has wrong content, the key belongs to another certificate, or the
            certificate is not valid now. The message names the setting, its value and the next step.
    """
    chain, key = _content(CERT, files.cert), _content(KEY, files.key)
    client_ca = _content(CLIENT_CA, files.client_ca) if files.client_ca else None
    authorities = _check_certificates(CERT, files.cert, chain)
    context = _context(files, key)
    not_after = _check_chain(files.cert, chain, context)
    if files.client_ca and client_ca is not None:
        _check_certificates(CLIENT_CA, files.client_ca, client_ca)
        context.load_verify_locations(cadata=_text(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return Certificates(
        chain=chain,
        key=key,
        client_ca=client_ca,
        context=context,
        not_after=not_after,
        chain_expires=min(map(ssl.cert_time_to_seconds, (not_after, *authorities))),
    )


def _content(name: str, path: Path) -> bytes:
    try:
        check_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise unreadable(name, path, error) from error


def _text(pem: bytes) -> str:
    """Return PEM for OpenSSL. Comments between the certificates may have any characters."""
    return pem.decode("ascii", "ignore")


def _check_certificates(name: str, path: Path, pem: bytes) -> list[str]:
    """Return when the certificates of authorities expire. The module ssl does not list others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(cadata=_text(pem))
    except (ssl.SSLError, ValueError) as error:  # ValueError: nothing but comments
        raise refusal(
            name, path, "contains no valid certificate: give certificates as PEM (BEGIN CERTIFICATE)"
        ) from error
    return [str(authority["notAfter"]) for authority in context.get_ca_certs()]


def _context(files: TlsFiles, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could ask for handshakes without end; OpenSSL 1.1.1 allows it
    context.set_alpn_protocols(["http/1.1"])

    def no_passphrase() -> NoReturn:
        raise refusal(KEY, files.key, "is encrypted: remove the passphrase, for example with `openssl pkey -in FILE`")

    try:
        context.load_cert_chain(files.cert, files.key, no_passphrase)
    except ssl.SSLError as error:
        raise refusal(KEY, files.key, _key_problem(files.cert, key, error)) from error
    except OSError as error:  # OpenSSL opens both files again
        raise unreadable(KEY, files.key, error) from error
    return context


def _key_problem(cert: Path, key: bytes, error: ssl.SSLError) -> str:
    if b"PRIVATE KEY-----" not in key:
        return "contains no private key: give the key as PEM (BEGIN PRIVATE KEY)"
    # the second reason: key and certificate have different types
    if any(word in (error.reason or "") for word in ("MISMATCH", "NO_CERTIFICATE_ASSIGNED")):
        return f"does not belong to the certificate in {cert}: give the key that the certificate was issued for"
    return f"cannot be used with {cert} ({error.reason or error}): give the certificate and its key as PEM"


def _check_chain(path: Path, chain: bytes, context: ssl.SSLContext) -> str:
    """Connect a client to the server in memory, and return when the certificate expires."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _X509_V_FLAG_NO_CHECK_TIME  # trust the certificate itself
    client.load_verify_locations(cadata=_text(chain))
    try:
        peer = _handshake(client, context).getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise refusal(
            CERT, path, f"has a certificate that clients reject ({error.verify_message}): give one for servers"
        ) from error
    except ssl.SSLError as error:
        raise refusal(
            CERT, path, f"cannot be used for TLS ({error.reason or error}): give another certificate"
        ) from error
    starts, ends = str(peer["notBefore"]), str(peer["notAfter"])
    if time.time() >= ssl.cert_time_to_seconds(ends):
        raise refusal(CERT, path, f"has a certificate that expired at {ends}: renew it")
    if time.time() < ssl.cert_time_to_seconds(starts):
        raise refusal(
            CERT, path, f"has a certificate that is valid from {starts}: check the clock, or give another one"
        )
    return ends


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """Return the client's side of a connection after the handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asking, answering, asking):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return asking
