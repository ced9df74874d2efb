"""Addresses of servers, in one form for every client command."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from rerank_service.errors import SettingsInvalid

_GRPC_NAME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract):.+")
"""A name in gRPC's own syntax, such as dns:///rerank-headless:50051."""
FORMS = "HOST:PORT or grpc://HOST:PORT for gRPC, http://HOST:PORT or https://HOST:PORT for REST"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server and the protocol to use with it."""

    protocol: Literal["grpc", "http"]
    target: str
    """HOST:PORT or a name in gRPC's syntax; for HTTP a URL."""


def server_address(text: str, *, source: str = "--server") -> ServerAddress:
    """Read an address. `source` is the flag or variable that gave it.

    Raises:
        SettingsInvalid: it is not an address.
    """
    if _GRPC_NAME.fullmatch(text):
        return ServerAddress("grpc", text)
    scheme = text.partition("://")[0] if "://" in text else "grpc"
    if scheme not in ("grpc", "http", "https"):
        raise SettingsInvalid(f"{source} {text} has the unknown scheme {scheme}://: give {FORMS}")
    rest = text.removeprefix(f"{scheme}://")
    try:
        text.encode()
        parsed = urlsplit(f"{scheme}://{rest}")
        host, port = parsed.hostname, parsed.port
    except UnicodeEncodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error
    except ValueError as error:
        raise SettingsInvalid(f"{source} {text}: {error}; give {FORMS}") from error
    if not host:
        raise SettingsInvalid(f"{source} {text!r} names no host: give {FORMS}")
    if scheme != "grpc":
        return ServerAddress("http", text)
    if parsed.path.strip("/") or parsed.query:
        raise SettingsInvalid(f"{source} {text}: a gRPC address has no path: give grpc://{parsed.netloc}")
    if port is None:
        raise SettingsInvalid(f"{source} {text} has no port: give {parsed.netloc}:50051, for example")
    return ServerAddress("grpc", parsed.netloc)
