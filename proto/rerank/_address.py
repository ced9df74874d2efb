"""Addresses of servers. Private: import from rerank.client."""

from collections.abc import Sequence
from ipaddress import ip_address

DEFAULT_ADDRESS = "127.0.0.1:50051"
TLS_SCHEME = "grpcs://"
_SCHEMES = (TLS_SCHEME, "grpc://")

Address = str | Sequence[str]
"""A server, or several replicas as `IP:port`."""


def channel_target(address: Address) -> str:
    """Return the gRPC target of an address: without grpc:// or grpcs://, which gRPC does not know.

    Raises:
        ValueError: one of several addresses is no `IP:port`.
    """
    if isinstance(address, str):
        return _without_scheme(address)
    if not address:
        raise ValueError("address is an empty list: give at least one address")
    if len(address) == 1:
        return _without_scheme(address[0])
    families = {_family(each) for each in address}
    if len(families) > 1:
        raise ValueError(f"address is {list(address)}: give addresses of one family, all IPv4 or all IPv6")
    return f"{families.pop()}:{','.join(map(_without_scheme, address))}"


def wants_tls(address: Address) -> bool:
    """Return True for grpcs://.

    Raises:
        ValueError: only some of several addresses have it.
    """
    schemes = {each.startswith(TLS_SCHEME) for each in ([address] if isinstance(address, str) else address)}
    if len(schemes) > 1:
        raise ValueError(f"address is {address}: give all with {TLS_SCHEME}, or none")
    return True in schemes


def is_plain(address: Address) -> bool:
    """Return True if an address says that it is without TLS."""
    return any(each.startswith("grpc://") for each in ([address] if isinstance(address, str) else address))


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
