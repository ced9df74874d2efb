"""Requests to the REST port of a started server, each on a connection of its own."""

import ssl
from typing import Any

import httpx

_SECONDS = 60.0
"""Timeout. The 5 s of httpx are too short for a busy machine, on which a server tunes or loads a model."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of http:// addresses. By default, each new one reads the certificates of all well-known authorities
(40 ms)."""


def get(url: str, **options: Any) -> httpx.Response:
    """Send a GET request."""
    return httpx.get(url, timeout=_SECONDS, verify=NO_TLS, **options)


def post(url: str, **options: Any) -> httpx.Response:
    """Send a POST request."""
    return httpx.post(url, timeout=_SECONDS, verify=NO_TLS, **options)
