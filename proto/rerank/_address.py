"""Addresses of servers. Private: import from rerank.client."""

import re
from collections.abc import Sequence
from ipaddress import ip_address

DEFAULT_ADDRESS = "127.0.0.1:50051"
TLS_SCHEME = "grpcs://"
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_SEVERAL = re.compile(r"(ipv[46]|unix):")
_HOST_PORT_PATH = re.compile(r"[^:/]+:\d+/.*")
_SCHEMES = (TLS_SCHEME, "grpc://")

Address = str | Sequence[str]
"""A server, or several replicas as `IP:port`."""


def channel_target(address: Address) -> str:
    """Return the gRPC target of an address: without grpc:// or grpcs://, which gRPC does not know.

    Raises:
        TypeError: the address is neither a str nor a list of them.
        ValueError: an address is invalid, or one of several addresses is not `IP:port`.
    """
    _check(address)
    addresses = _addresses(address)
    if not addresses:
        raise ValueError("address is an empty list: give at least one address")
    if len(addresses) == 1:
        return _without_scheme(addresses[0])
    families = {_family(each) for each in addresses}
    if len(families) > 1:
        raise ValueError(f"address is {list(addresses)}: give addresses of one family, all IPv4 or all IPv6")
    return f"{families.pop()}:{','.join(map(_without_scheme, addresses))}"


def _check(address: Address) -> None:
    if not isinstance(address, str | Sequence) or isinstance(address, bytes):
        raise TypeError(f"address must be a str or a list of them, not {type(address).__name__}")
    for each in _addresses(address):
        if not isinstance(each, str):
            raise TypeError(f"address must be a str or a list of them, and has the {type(each).__name__} {each!r}")
        if _HTTP.match(each):
            raise ValueError(f"address is {each!r}, which is for REST: give the gRPC address, such as rerank:50051")
        rest = _without_scheme(each)
        if not rest or rest != "".join(rest.split()):
            raise ValueError(f"address is {each!r}: give host:port without white space, such as rerank:50051")
        if "," in rest and not _SEVERAL.match(rest):
            raise ValueError(f"address is {each!r}: give several addresses as a list")
        if _HOST_PORT_PATH.fullmatch(rest):
            raise ValueError(f"address is {each!r}: give host:port without a path")


def wants_tls(address: Address) -> bool:
    """Return True for grpcs://.

    Raises:
        ValueError: only some of several addresses have it.
    """
    schemes = {each.startswith(TLS_SCHEME) for each in _addresses(address)}
    if len(schemes) > 1:
        raise ValueError(f"address is {address}: give all with {TLS_SCHEME}, or none")
    return True in schemes


def is_plain(address: Address) -> bool:
    """Return True if an address has the scheme grpc://, which is without TLS."""
    return any(each.startswith("grpc://") for each in _addresses(address))


def _addresses(address: Address) -> Sequence[str]:
    return [address] if isinstance(address, str) else address


def _without_scheme(address: str) -> str:
    for scheme in _SCHEMES:
        address = address.removeprefix(scheme)
    return address


def _family(address: str) -> str:
    host, _, port = _without_scheme(address).rpartition(":")
    try:
        version = ip_address(host.removeprefix("[").removesuffix("]")).version
    except ValueError:
        version = 0
    if not version or not port.isdecimal() or (version == 6) != host.startswith("["):
        raise ValueError(
            f"address has {address!r}: of several addresses, give each as IP:port, such as 10.0.0.7:50051. For a host "
            "name with several addresses, give dns:///NAME:PORT alone"
        )
    return f"ipv{version}"
