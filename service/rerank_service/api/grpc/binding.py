"""Let a gRPC server listen on addresses, with the meaning that they have for REST."""

from contextlib import nullcontext

import grpc

from rerank_service.api.address import ANY_IPV4, TcpAddress, UnixAddress
from rerank_service.api.grpc.credentials import server_credentials
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.tcp_sockets import ipv6_in_use, reserved_port
from rerank_service.api.tls.store import CertificateStore
from rerank_service.api.unix_sockets import allow_connections, claim
from rerank_service.errors import SettingsInvalid
from rerank_service.settings_errors import setting_of, wrong_value


def bind(server: grpc.aio.Server, options: GrpcOptions) -> tuple[int, tuple[str, ...]]:
    """Listen on all addresses. Return the port of TCP (0 without any), and the target of each address for clients.

    With `options.tls`, TCP requires TLS. gRPC removes the files of Unix sockets when the server stops.

    Raises:
        SettingsInvalid: an address is in use or not allowed.
    """
    tcp = [each for each in options.addresses if isinstance(each, TcpAddress)]
    flag = options.port_flag
    # gRPC alone would write the reason of an error to stderr in its own form, and choose a port for each address
    with reserved_port(tcp, options.port, flag=flag, host_flag=options.host_flag) as chosen:
        for each in tcp:
            # gRPC takes 0.0.0.0 as `::`, and listens on IPv4 only if `::` is in use
            with ipv6_in_use(chosen) if each.ip == ANY_IPV4 else nullcontext():
                _add(server, each.text(chosen), flag, tls=options.tls)
    targets = [each.text(chosen) for each in tcp]
    for folder in (each for each in options.addresses if isinstance(each, UnixAddress)):
        claim(folder.path("grpc"))
        _add(server, folder.grpc_target, options.host_flag, tls=None)
        allow_connections(folder.path("grpc"))
        targets.append(folder.grpc_target)
    return chosen if tcp else 0, tuple(targets)


def _add(server: grpc.aio.Server, target: str, flag: str, *, tls: CertificateStore | None) -> None:
    try:
        if tls is None:
            server.add_insecure_port(target)
        else:
            server.add_secure_port(target, server_credentials(tls))
    except RuntimeError as error:
        problem = f"the server cannot listen on {target}: {error}; give another"
        raise SettingsInvalid(wrong_value(setting_of(flag), target, problem)) from error
