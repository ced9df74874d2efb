"""Addresses of servers, in the same form for every client command."""

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

import grpc

from rerank._address import channel_target
from rerank_service.errors import SettingsInvalid
from rerank_service.tools.client_tls import ClientTls

_GRPC_NAME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract):.+")
"""A target in gRPC's name syntax, such as dns:///rerank-headless:50051 (gRPC, "Name Resolution")."""
ADDRESS_FORMS = (
    "HOST:PORT, grpc://HOST:PORT, unix:FILE or (TLS) grpcs://HOST:PORT for gRPC, "
    "http://HOST:PORT or https://HOST:PORT for REST"
)
"""Accepted forms, for messages."""
_UNIX = re.compile(r"(unix|unix-abstract):")
_NO_SOCKET = re.compile(r"(unix|unix-abstract):/*")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URI_CHARACTERS = "/%:@!$&'()*+,;="
"""Characters that the path of a URI may have, besides letters, digits and `_.-~` (RFC 3986, section 3.3)."""
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
    """Return the address in a text, without white space around it. `source` is its flag or variable, for messages.

    Raises:
        SettingsInvalid: the text is not an address.
    """
    text = text.strip()
    if _NO_SOCKET.fullmatch(text):
        raise SettingsInvalid(f"{source} {text} names no socket: give unix:FILE")
    if _GRPC_NAME.fullmatch(text):
        return ServerAddress("grpc", _grpc_name(text, source))
    scheme, rest = _split(text, source)
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
        return ServerAddress("http", f"{scheme}://{rest}", tls)
    if parsed.path.strip("/") or parsed.query or parsed.fragment:
        raise SettingsInvalid(f"{source} {text}: a gRPC address has no path: give {scheme}://{parsed.netloc}")
    if port is None:
        raise SettingsInvalid(f"{source} {text} has no port: give {parsed.netloc.removesuffix(':')}:50051, for example")
    return ServerAddress("grpc", _checked_target(parsed.netloc, source), tls)


def _split(text: str, source: str) -> tuple[str, str]:
    """Return the scheme of an address in lower case, and what follows it."""
    given, rest = text.split("://", 1) if "://" in text else ("grpc", text)
    scheme = given.lower()
    if scheme not in _SCHEMES:
        raise SettingsInvalid(f"{source} {text} has the unknown scheme {scheme}://: give {ADDRESS_FORMS}")
    return scheme, rest


def _grpc_name(text: str, source: str) -> str:
    """Return a target in gRPC's name syntax. Encode characters of a path that a URI cannot have, such as blanks."""
    if kind := _UNIX.match(text):
        path = _STRAY_PERCENT.sub("%25", text[kind.end() :])
        return kind.group() + quote(os.fsencode(path), safe=_URI_CHARACTERS)
    _check_no_key(text.partition(":")[2].lstrip("/"), source)
    return _checked_target(text, source)


def _checked_target(target: str, source: str) -> str:
    """Return the target, if the client can open a channel to it."""
    try:
        return channel_target(target)
    except ValueError as error:
        raise SettingsInvalid(f"{source} {target!r} is no address of one server: give {ADDRESS_FORMS}") from error


def _check_no_key(address: str, source: str) -> None:
    """Reject a key in an address, which results, errors and lists of processes would show.

    Raises:
        SettingsInvalid: there is one. The message does not contain it.
    """
    if "@" in re.split("[/?#]", address, maxsplit=1)[0]:
        raise SettingsInvalid(
            f"{source} has a user or a key before '@': remove it, and give the key by --api-key or RERANK_API_KEY"
        )
