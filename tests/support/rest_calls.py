"""Requests to the REST port of a started server, each on a connection of its own."""

from typing import Any

import httpx

_SECONDS = 60.0
"""Timeout. The 5 s of httpx are too short for a busy machine, on which a server tunes or loads a model."""


def get(url: str, **options: Any) -> httpx.Response:
    """Send a GET request."""
    return httpx.get(url, timeout=_SECONDS, **options)


def post(url: str, **options: Any) -> httpx.Response:
    """Send a POST request."""
    return httpx.post(url, timeout=_SECONDS, **options)
