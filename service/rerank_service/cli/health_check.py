"""Health check of a container, for the image and for Kubernetes: `python3 -m rerank_service.cli.health_check`.

Exits with 0 if the server in this container is ready (with `--live`: if it runs) and both protocols accept connections.
It reads the variables of the settings, not the flags of the server. It imports only the standard library, because it
starts every few seconds.
"""

import http.client
import os
import socket
import ssl
import sys
from pathlib import Path

PORTS = {"RERANK_GRPC_PORT": 50051, "RERANK_REST_PORT": 8080}
"""Variables of the ports, and their defaults."""
HOST = "127.0.0.1"
"""Default of RERANK_HOST."""
_EVERY_INTERFACE = {"::": "localhost", "0.0.0.0": "127.0.0.1"}
"""Hosts that name no address to connect to."""
TIMEOUT_SECONDS = 2.0
"""Limit for each of the two connections."""
_UNIX = "unix:"


def main() -> int:
    """Check the server, print the problem if there is one, and return the exit status."""
    path = "/health/live" if "--live" in sys.argv[1:] else "/health/ready"
    try:
        host = _first_host()
        grpc_port, rest_port = (_port(name, default) for name, default in PORTS.items())
        problem = _problem(_connected(host, "rest", rest_port), path, tls=_has_tls(host))
        _connected(host, "grpc", grpc_port).close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


def _first_host() -> str:
    """Return the first host of RERANK_HOST. The server listens on all of them, or ends."""
    hosts = (host.strip() for host in os.environ.get("RERANK_HOST", "").split(","))
    return next((host for host in hosts if host), HOST)


def _port(name: str, default: int) -> int:
    port = int(os.environ.get(name) or default)
    if port == 0 and not _first_host().startswith(_UNIX):
        raise ValueError(f"{name} is 0, so the port is unknown: set a port from 1 to 65535")
    return port


def _has_tls(host: str) -> bool:
    """Return whether REST requires TLS. Unix sockets never do."""
    return bool(os.environ.get("RERANK_TLS_CERT")) and not host.startswith(_UNIX)


def _connected(host: str, protocol: str, port: int) -> socket.socket:
    """Connect to the port on a host, or to the Unix socket of a protocol."""
    if not host.startswith(_UNIX):
        host = host.removeprefix("[").removesuffix("]")
        return socket.create_connection((_EVERY_INTERFACE.get(host, host), port), TIMEOUT_SECONDS)
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(TIMEOUT_SECONDS)
        connected.connect(str(Path(host.removeprefix(_UNIX).removeprefix("//")) / f"{protocol}.sock"))
    except OSError:
        connected.close()
        raise
    return connected


def _problem(connected: socket.socket, path: str, *, tls: bool) -> str:
    with connected:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = _context().wrap_socket(connected, server_hostname="localhost") if tls else connected
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
    return "" if status == http.client.OK else f"{path} is {status}"


def _context() -> ssl.SSLContext:
    """Return a context that does not verify the server, which is in the same container.

    If the server requires client certificates, its own one is sent. Its issuer must be in RERANK_TLS_CLIENT_CA.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if os.environ.get("RERANK_TLS_CLIENT_CA"):
        context.load_cert_chain(os.environ["RERANK_TLS_CERT"], os.environ.get("RERANK_TLS_KEY"))
    return context


if __name__ == "__main__":
    sys.exit(main())
