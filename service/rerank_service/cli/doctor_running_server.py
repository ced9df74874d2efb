"""Find out whether a server with the settings of `rerank doctor` runs here already."""

from functools import partial

from rerank_service.api.address import TcpAddress, UnixAddress, address, listen_addresses, local_address
from rerank_service.settings import Settings
from rerank_service.tools.doctor.answers import (
    Answers,
    Connect,
    grpc_answers,
    own_server_context,
    rest_answers,
    tcp_connection,
    unix_connection,
)


def runs_here(settings: Settings) -> bool:
    """Return whether REST responds at one of the addresses."""
    addresses = listen_addresses(settings.host)
    tcp = next((each for each in addresses if isinstance(each, TcpAddress)), None)
    sockets = (each for each in addresses if isinstance(each, UnixAddress))
    return _tcp_rest_answers(settings, tcp) or any(_unix_answers(each, "rest") for each in sockets)


def is_own_port(settings: Settings, listens: TcpAddress, port: int, answers: Answers, *, has_tls: bool = True) -> bool:
    """Return whether a port in use is that of a running server with these settings: its REST port responds, and this
    port answers as `answers` says. `has_tls`: the port requires TLS if the settings do."""
    own = next((each for each in listen_addresses(settings.host) if isinstance(each, TcpAddress)), None)
    return _tcp_rest_answers(settings, own) and answers(_connect(settings, listens, port, has_tls=has_tls))


def is_own_socket(listens: UnixAddress, protocol: str) -> bool:
    """Return whether a rerank server listens on the Unix socket of a protocol: that of REST responds, and this one."""
    return _unix_answers(listens, "rest") and _unix_answers(listens, protocol)


def _tcp_rest_answers(settings: Settings, listens: TcpAddress | None) -> bool:
    if listens is None or not settings.rest_port:
        return False
    return rest_answers(_connect(settings, listens, settings.rest_port))


def _unix_answers(listens: UnixAddress, protocol: str) -> bool:
    answers = rest_answers if protocol == "rest" else grpc_answers
    return answers(partial(unix_connection, listens.path(protocol)))


def _connect(settings: Settings, listens: TcpAddress, port: int, *, has_tls: bool = True) -> Connect:
    """Return a connector to a port of an address that a server listens on."""
    host, _, _ = local_address(address(listens.ip, port)).rpartition(":")
    context = own_server_context(settings.tls_cert, settings.tls_key) if has_tls and settings.tls_cert else None
    return partial(tcp_connection, host.strip("[]"), port, context)
