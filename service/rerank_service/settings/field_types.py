"""Types of settings, with the checks of their values and complete messages."""

import ipaddress
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import NoDecode

from rerank_service.model_names import MAX_NAME_CHARS, is_model_name

_WITH_PORT = re.compile(r"(?!unix:)([^:\[\]]+|\[.*\]):\d*")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _keys(value: object) -> object:
    keys = _split(value)
    if isinstance(value, str) and not keys:
        raise ValueError("contains no key: give at least one key, or remove the setting to serve without keys")
    if isinstance(keys, list) and not all(key.isascii() and key.isprintable() for key in keys):
        raise ValueError(
            "contains a key that no header can carry: use printable ASCII only, and separate keys by commas"
        )
    return keys


def _utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"is {value!r}: give UTF-8 text") from None
    return value


def _key_file(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: give the path of a file, or remove the setting to serve without keys")
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError(f"is {value!r}: give 64 hexadecimal digits, as `rerank models --wide` shows them")
    return value.lower()


def _tls_file(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: give the path of a PEM file, or remove the setting")
    return value


def _cache_folder(folder: Path) -> Path:
    """Reject a file. A device is accepted: /dev/null means no cache."""
    with suppress(OSError, RuntimeError):  # RuntimeError: no home directory
        if folder.expanduser().is_file():
            raise ValueError(f"is {str(folder)!r}, which is a file: give a folder, or {os.devnull} for no cache")
    return folder


def _hosts(value: object) -> object:
    hosts = _split(value)
    if isinstance(value, str) and not hosts:
        raise ValueError("contains no address: give at least one, such as 127.0.0.1")
    return hosts


def _host(host: str) -> str:
    """Require the folder of Unix sockets. Check any other address."""
    if host.startswith("unix:") and not host.removeprefix("unix:").strip("/"):
        raise ValueError(f"is {host!r}: give a folder, such as unix:/run/rerank")
    return _address(host, "--grpc-port and --rest-port set")


def _admin_host(host: str) -> str:
    if host.startswith("unix:"):
        raise ValueError(f"is {host!r}: give an IP address or a host name, because Admin has no Unix socket")
    return _address(host, "--admin-port sets")


def _address(host: str, port_settings: str) -> str:
    """Accept an IPv6 address in brackets, as in a URL. Reject a port."""
    if _WITH_PORT.fullmatch(host):
        raise ValueError(f"is {host!r}: give the address without a port, which {port_settings}")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _origin(origin: str) -> str:
    """Return an origin as browsers send it in the header `Origin`: scheme, host, and port unless it is the default."""
    known = re.fullmatch(r"(https?)://([!-~]+)", origin.lower())
    if origin != "*" and (not known or set("/?#@*") & set(known[2])):
        raise ValueError(
            f"has {origin!r}: give origins without path and trailing slash, such as https://search.example.com, or *"
        )
    return known[0].removesuffix({"http": ":80", "https": ":443"}[known[1]]) if known else origin


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise ValueError("has * beside other origins: give either * or the origins")
    return origins


def _proxy(address: str) -> str:
    """Accept an IP address, a network, or `*`."""
    try:
        if address != "*":
            ipaddress.ip_network(address, strict=False)
    except ValueError:
        raise ValueError(
            f"contains {address!r}: give IP addresses and networks, such as 10.0.0.0/8, or * for every address"
        ) from None
    return address


def _model_name(name: str) -> str:
    """Reject names that a models file may not have either."""
    if not is_model_name(name):
        shown = name if len(name) <= MAX_NAME_CHARS else f"{name[:MAX_NAME_CHARS]}…"
        raise ValueError(
            f"has the name {shown!r}: give 1 to {MAX_NAME_CHARS} printable characters, without spaces at the ends"
        )
    return name


def _kubernetes_size(value: object) -> object:
    """Convert a size in the notation of Kubernetes, such as 64Mi, to the notation of pydantic, 64MiB."""
    return f"{value.strip()}B" if isinstance(value, str) and value.strip().endswith("i") else value


_YEAR = 365 * 24 * 60 * 60.0

Seconds = Annotated[float, Field(ge=0, le=_YEAR)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_YEAR)]
Lanes = Annotated[int, Field(ge=1, le=1024)]
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""A positive number that fits every message, for example int32 in gRPC."""
Port = Annotated[int, Field(ge=0, le=65535)]
MessageBytes = Annotated[int, Field(gt=0, le=1024**3)]
Bytes = Annotated[ByteSize, Field(ge=0, le=1024**4), BeforeValidator(_kubernetes_size)]
Text = Annotated[str, AfterValidator(_utf8)]
Digest = Annotated[str, AfterValidator(_digest)]
Host = Annotated[Text, AfterValidator(_host)]
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_hosts)]
AdminHosts = Annotated[tuple[Annotated[Text, AfterValidator(_admin_host)], ...], NoDecode, BeforeValidator(_hosts)]
ModelName = Annotated[Text, AfterValidator(_model_name)]
Names = Annotated[tuple[ModelName, ...], NoDecode, BeforeValidator(_split)]
Origin = Annotated[Text, AfterValidator(_origin)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split), AfterValidator(_origins)]
Proxies = Annotated[tuple[Annotated[Text, AfterValidator(_proxy)], ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]
KeyFile = Annotated[Path, BeforeValidator(_key_file)]
CacheFolder = Annotated[Path, AfterValidator(_cache_folder)]
TlsFile = Annotated[Path, BeforeValidator(_tls_file)]
