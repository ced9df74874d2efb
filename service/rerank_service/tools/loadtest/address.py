"""Target of a load test at an address."""

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.loadtest.dialects import Dialect
from rerank_service.tools.loadtest.grpc_target import GrpcTarget
from rerank_service.tools.loadtest.http_target import HttpTarget
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.server_address import ServerAddress


def target(
    server: ServerAddress, *, dialect: Dialect | None = None, model: str = "", api_key: str | None = None
) -> Target:
    """Return the target at an address.

    Raises:
        SettingsInvalid: `dialect` is set for a gRPC address.
    """
    if server.protocol == "http":
        return HttpTarget(server.target, dialect=dialect, model=model, api_key=api_key, tls=server.tls)
    if dialect is not None:
        raise SettingsInvalid("--dialect applies to http:// servers only; over gRPC leave it out")
    return GrpcTarget(server.target, model=model, api_key=api_key, credentials=server.credentials())
