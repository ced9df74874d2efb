"""The base class of the blocking clients. Private: import from rerank.client or rerank.admin."""

from types import TracebackType
from typing import Self

import grpc

from rerank._channel import ChannelArguments
from rerank._lifetime import Lifetime


class BlockingClient:
    """A client that owns a blocking channel."""

    def __init__(self, arguments: ChannelArguments) -> None:
        """Create a channel that connects on its first call."""
        target, credentials, options, compression = arguments
        self._channel = (
            grpc.secure_channel(target, credentials, options, compression)
            if credentials
            else grpc.insecure_channel(target, options, compression)
        )
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
