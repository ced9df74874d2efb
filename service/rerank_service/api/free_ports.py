"""Check the ports of all servers of this process before the first one listens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_service.api.address import ListenAddress, TcpAddress
from rerank_service.api.tcp_sockets import reserved_port
from rerank_service.errors import SettingsInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPort:
    """A port that one of the servers will listen on."""

    addresses: Sequence[ListenAddress]
    """All addresses of the server. Those of Unix sockets have no port."""
    port: int
    """0: the system chooses one."""
    flag: str
    """Setting of the port, for messages."""
    host_flag: str = "--host"
    """Setting of the addresses, for messages."""


def check_ports_free(wanted: Iterable[WantedPort]) -> None:
    """Check that all ports can be used, so that one error names all that cannot.

    Raises:
        SettingsInvalid: ports are in use or not allowed, or this machine does not have an address.
    """
    problems = {}
    for each in wanted:
        tcp = [address for address in each.addresses if isinstance(address, TcpAddress)]
        try:
            with reserved_port(tcp, each.port, flag=each.flag, host_flag=each.host_flag):
                pass
        except SettingsInvalid as error:
            problems[str(error)] = error  # a wrong address has one message for all its ports
    if problems:
        raise SettingsInvalid("; ".join(problems)) from next(iter(problems.values()))
