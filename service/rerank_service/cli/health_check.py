"""Health check of a container, for the image and for Kubernetes: `python3 -m rerank_service.cli.health_check`.

Exits with 0 if the server in this container is ready (with `--live`: if it runs) and both ports accept connections. It
imports only the standard library, because it starts every few seconds.
"""

import http.client
import os
import socket
import ssl
import sys

PORTS = {"RERANK_GRPC_PORT": 50051, "RERANK_REST_PORT": 8080}
"""Variables of the ports, and their defaults."""
_HOST = "localhost"
_TIMEOUT_SECONDS = 3.0


def main() -> int:
    """Check the server, print the problem if there is one, and return the exit status."""
    path = "/health/live" if "--live" in sys.argv[1:] else "/health/ready"
    try:
        grpc_port, rest_port = (int(os.environ.get(name) or default) for name, default in PORTS.items())
        problem = _problem(rest_port, path)
        with socket.create_connection((_HOST, grpc_port), _TIMEOUT_SECONDS):
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


def _problem(port: int, path: str) -> str:
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(_HOST, port, timeout=_TIMEOUT_SECONDS, context=_context())
        if os.environ.get("RERANK_TLS_CERT")
        else http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT_SECONDS)
    )
    connection.request("GET", path)
    status = connection.getresponse().status
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
