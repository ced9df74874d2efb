"""Clients of replicas behind proxies, by name, for `support.replica_load`."""

from support.replicas import GRPC_PORT, PROXIES, REPLICAS, REST_PORT

PLAIN = tuple(f"{proxy} {kind}" for proxy in PROXIES for kind in ("grpc-plain", "rest-plain"))
"""Clients that send no call again."""
RETRYING = tuple(f"{proxy} {kind}" for proxy in PROXIES for kind in ("grpc", "rest", "rest-cohere"))
"""Clients with the retry policy of docs/replicas.md."""


def proxied(name: str) -> str:
    """Return the client `PROXY KIND` as `KIND=ADDRESS`."""
    proxy, kind = name.split()
    return f"{kind}={_address(kind, PROXIES[proxy])}"


def direct(kind: str) -> dict[str, str]:
    """Return clients of a kind without proxy: one that balances over all replicas, or for REST one for each replica."""
    if kind.startswith("grpc"):
        return {f"direct {kind}": f"{kind}=ipv4:{','.join(_address(kind, replica) for replica in REPLICAS)}"}
    return {f"direct {kind} {replica}": f"{kind}={_address(kind, replica)}" for replica in REPLICAS}


def _address(kind: str, host: str) -> str:
    return f"{host}:{GRPC_PORT}" if kind.startswith("grpc") else f"http://{host}:{REST_PORT}"
