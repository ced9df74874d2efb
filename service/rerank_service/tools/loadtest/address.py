"""Which server a person means."""

from urllib.parse import urlsplit

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.loadtest.dialects import Dialect
from rerank_service.tools.loadtest.grpc_target import GrpcTarget
from rerank_service.tools.loadtest.http_target import HttpTarget
from rerank_service.tools.loadtest.target import Target

_GRPC = "grpc"
_HTTP = ("http", "https")


def target(server: str, *, dialect: Dialect | None = None, model: str = "", api_key: str | None = None) -> Target:
    """The target at grpc://HOST:PORT (or HOST:PORT), or at an http(s) URL.

    Raises:
        SettingsInvalid: it is neither, or no header can hold the key.
    """
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise SettingsInvalid("--api-key has characters that no header can hold: only ASCII's printable ones do")
    scheme, host = _split(server)
    if scheme in _HTTP and host:
        return HttpTarget(server, dialect=dialect, model=model, api_key=api_key)
    if scheme == _GRPC and host:
        if dialect is not None:
            raise SettingsInvalid("--dialect is for http:// servers: gRPC has one, rerank.v1")
        return GrpcTarget(host, model=model, api_key=api_key)
    raise SettingsInvalid(f"--server {server} is neither grpc://HOST:PORT nor an http:// or https:// URL")


def _split(server: str) -> tuple[str, str]:
    """Scheme and host with port."""
    if "://" not in server:
        return _GRPC, server
    try:
        parsed = urlsplit(server)
        parsed.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise SettingsInvalid(f"--server {server}: {error}") from error
    return parsed.scheme, parsed.netloc
