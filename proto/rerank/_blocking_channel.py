"""The channel of a blocking client. Private: import from rerank.client or rerank.admin."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from rerank._address import Address, channel_target
from rerank._channel import channel_options
from rerank._lifetime import Lifetime
from rerank._tls import PemFile, channel_credentials


def blocking_channel(
    address: Address,
    options: Sequence[tuple[str, Any]],
    *,
    credentials: grpc.ChannelCredentials | None,
    tls: tuple[PemFile | None, PemFile | None, PemFile | None],
    compress: bool = False,
) -> grpc.Channel:
    """Return a channel that connects on its first call. `tls` has the files of authorities, certificate and key.

    Raises:
        ValueError: an address is wrong, or parameters of TLS contradict each other.
        OSError: a file of TLS cannot be read.
    """
    target = channel_target(address)
    all_options = channel_options(target, options)
    compression = grpc.Compression.Gzip if compress else None
    ca, cert, key = tls
    secure = channel_credentials(address, credentials, ca=ca, cert=cert, key=key)
    if secure:
        return grpc.secure_channel(target, secure, all_options, compression)
    return grpc.insecure_channel(target, all_options, compression)


class BlockingClient:
    """A client that owns a blocking channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Own a channel."""
        self._channel = channel
        self._lifetime = Lifetime()

    def close(self) -> None:
        """Close the connection. Calls of other threads, and later calls, end with `Cancelled`."""
        self._lifetime.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
