"""The reference cycle of each transport of asyncio.

A transport of a socket keeps one of its own methods (`_read_ready_cb`), so a closed connection is only freed by a
garbage collection. Connections live long, so it is mostly a full one, which holds the interpreter's lock: 0.13 s for
8,000 connections (docs/decisions/0075-short-turns.md).

Both functions use private names of asyncio. If a later version has others, they do nothing.
"""

import asyncio


def below_tls(transport: asyncio.Transport) -> asyncio.Transport:
    """Return the transport of the socket: that below an open transport of TLS, or the transport itself."""
    found: asyncio.Transport | None = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return found or transport


def break_cycle(transport: asyncio.BaseTransport) -> None:
    """Let a closed transport forget its method, so that it is freed with its last reference."""
    vars(transport).pop("_read_ready_cb", None)
