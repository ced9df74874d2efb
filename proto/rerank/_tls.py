"""TLS of the channel: its files and credentials. Private: import from rerank.client."""

import os
from pathlib import Path

import grpc

from rerank._address import TLS_SCHEME, Address, is_plain, wants_tls

PemFile = str | os.PathLike[str]
"""Path of a PEM file."""


def channel_credentials(
    address: Address,
    credentials: grpc.ChannelCredentials | None,
    *,
    ca: PemFile | None,
    cert: PemFile | None,
    key: PemFile | None,
) -> grpc.ChannelCredentials | None:
    """Return the credentials of a channel, or None for a connection without TLS.

    Raises:
        ValueError: the arguments contradict each other.
        OSError: a file cannot be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("tls_cert and tls_key belong together: set both or none")
    if ca is None and cert is None:
        return credentials or (grpc.ssl_channel_credentials() if wants_tls(address) else None)
    if credentials is not None:
        raise ValueError("credentials replace tls_ca, tls_cert and tls_key: set either the one or the others")
    if is_plain(address):
        raise ValueError(f"the address {address} is without TLS, and tls_ca or tls_cert is set: use {TLS_SCHEME}")
    return grpc.ssl_channel_credentials(_content(ca), _content(key), _content(cert))


def _content(path: PemFile | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
