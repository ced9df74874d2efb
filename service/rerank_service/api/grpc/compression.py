"""Responses compressed with gzip, for calls that ask for it.

Most gRPC clients announce that they accept gzip (`grpc-accept-encoding`), also in networks where compression costs more
time than it saves, and grpc.aio does not show the announcement. A call therefore asks by metadata of its own.
"""

from collections.abc import Mapping

import grpc

ASK = "x-accept-encoding"
"""Metadata of a call, with the value of HTTP's Accept-Encoding, such as `gzip`."""
_MIN_BYTES = 1024
"""Smaller messages are sent uncompressed: they fit into one packet."""
_MAX_BYTES = 4 * 1024 * 1024
"""Larger messages are sent uncompressed. gRPC compresses on the thread of the event loop, 25 MB/s, and all other calls
wait meanwhile: 0.2 s for 4 MiB."""


class Compression:
    """Compression of the responses of one call."""

    def __init__(self, context: "grpc.aio.ServicerContext[bytes, bytes]", metadata: Mapping[str, str]) -> None:
        self._context = context
        self._asked = "gzip" in (name.strip().lower() for name in metadata.get(ASK, "").split(","))
        self._announced = False
        if self._asked:
            context.set_compression(grpc.Compression.Gzip)

    async def announce(self, metadata: Mapping[str, str]) -> None:
        """Send the initial metadata. gRPC needs it before the message of a unary response, to compress it."""
        self._announced = True
        await self._context.send_initial_metadata(tuple(metadata.items()))

    async def before_message(self, size: int) -> None:
        """Prepare to send a message of `size` bytes."""
        if not self._asked:
            return
        if not self._announced:
            await self.announce({})
        if not _MIN_BYTES <= size <= _MAX_BYTES:
            self._context.disable_next_message_compression()
