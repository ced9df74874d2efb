"""The unread bytes of responses.

Small responses are in the buffer of the kernel, where asyncio does not see them. A connection is then idle, and the
kernel would keep such bytes without end, also after the connection is closed.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress


def limit_unread_time(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Let the kernel reset a TCP connection if its client takes no bytes for that time, also after it is closed."""
    connection: socket.socket = transport.get_extra_info("socket")
    if connection.family is not socket.AF_UNIX:
        milliseconds = min(round(seconds * 1000), 2**31 - 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def waiting_bytes(transport: asyncio.Transport, below: asyncio.Transport) -> int:
    """Return the number of bytes in the buffers of asyncio. `below` is the transport of the socket.

    Both buffers count: TLS passes a response on to that of the socket, where it waits encrypted.
    """
    waiting = below.get_write_buffer_size()
    if transport is not below:
        with suppress(AttributeError):  # a transport of TLS that was closed twice has lost its buffer
            waiting += transport.get_write_buffer_size()
    return waiting


def unread_bytes(transport: asyncio.Transport, below: asyncio.Transport) -> int:
    """Return the number of bytes in the buffers of asyncio and the kernel; 0 if the socket is closed."""
    descriptor = below.get_extra_info("socket").fileno()
    if descriptor < 0:
        return 0
    queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    return waiting_bytes(transport, below) + int(struct.unpack("i", queued)[0])
