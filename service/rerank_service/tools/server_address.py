"""Addresses of servers, in the same form for every client command."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import grpc

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.client_tls import ClientTls

_GRPC_NAME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract):.+")
"""A target in gRPC's name syntax, such as dns:///rerank-headless:50051 (gRPC, "Name Resolution")."""
ADDRESS_FORMS = (
    "HOST:PORT, grpc://HOST:PORT, unix:FILE or (TLS) grpcs://HOST:PORT for gRPC, "
    "http://HOST:PORT or https://HOST:PORT for REST"
)
"""Accepted forms, for messages."""
_SCHEMES = ("grpc", "grpcs", "http", "https")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Address of a server and its protocol."""

    protocol: Literal["grpc", "http"]
    target: str
    """HOST:PORT or a name in gRPC's syntax; a URL for HTTP."""
    tls: ClientTls | None = None
    """Files of TLS. None: the connection is not encrypted."""

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the credentials of a gRPC channel, or None without TLS."""
        return None if self.tls is None else self.tls.credentials()


def server_address(text: str, *, source: str = "--server") -> ServerAddress:
    """Return the address in a text. `source` is its flag or variable, for messages.

    Raises:
        SettingsInvalid: the text is not an address.
    """
    if _GRPC_NAME.fullmatch(text):
        return ServerAddress("grpc", text)
    scheme = text.partition("://")[0] if "://" in text else "grpc"
    if scheme not in _SCHEMES:
        raise SettingsInvalid(f"{source} {text} has the unknown scheme {scheme}://: give {ADDRESS_FORMS}")
    rest = text.removeprefix(f"{scheme}://")
    try:
        text.encode()
        _check_no_key(rest, source)
        parsed = urlsplit(f"{scheme}://{rest}")
        host, port = parsed.hostname, parsed.port
    except UnicodeEncodeError as error:
        raise SettingsInvalid(f"{source} is not UTF-8 text: {error}") from error
    except ValueError as error:
        raise SettingsInvalid(f"{source} {text}: {error}; give {ADDRESS_FORMS}") from error
    if not host or not host.strip():
        raise SettingsInvalid(f"{source} {text!r} names no host: give {ADDRESS_FORMS}")
    tls = ClientTls() if scheme.endswith("s") else None
    if not scheme.startswith("grpc"):
        return ServerAddress("http", text, tls)
    if parsed.path.strip("/") or parsed.query:
        raise SettingsInvalid(f"{source} {text}: a gRPC address has no path: give {scheme}://{parsed.netloc}")
    if port is None:
        raise SettingsInvalid(f"{source} {text} has no port: give {parsed.netloc.removesuffix(':')}:50051, for example")
    return ServerAddress("grpc", parsed.netloc, tls)


def _check_no_key(address: str, source: str) -> None:
    """Reject a key in an address, which results, errors and lists of processes would show.

    Raises:
        SettingsInvalid: there is one. The message does not contain it.
    """
    if "@" in re.split("[/?#]", address, maxsplit=1)[0]:
        raise SettingsInvalid(
            f"{source} has a user or a key before '@': remove it, and give the key by --api-key or RERANK_API_KEY"
        )
