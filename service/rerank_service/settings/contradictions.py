"""Settings that are valid alone, and contradict each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rerank_service.settings_errors import flag, wrong_value


def contradiction(hosts: Sequence[str], ports: Mapping[str, int | None], tls_cert: Path | None) -> str | None:
    """Return the message about settings that contradict each other, or None. `ports` has names of settings."""
    if not all(host.startswith("unix:") for host in hosts):
        return _equal_ports(ports)
    if tls_cert is None or ports["admin_port"] is not None:
        return None  # the other ports have no effect, and the port of Admin has TLS on the addresses of --admin-host
    # a server that only seems to encrypt must not start
    fix = "add an address, such as ::, or remove this setting"
    return wrong_value("tls_cert", str(tls_cert), f"{flag('host')} has only Unix sockets, without TLS: {fix}")


def _equal_ports(ports: Mapping[str, int | None]) -> str | None:
    users: dict[int, str] = {}
    for name, port in ports.items():
        if port and (other := users.setdefault(port, name)) != name:  # 0: the system chooses
            return wrong_value(name, port, f"{flag(other)} is the same port: give each a port of its own")
    return None
