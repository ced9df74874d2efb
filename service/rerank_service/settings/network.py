"""Settings of addresses, connections and API keys."""

from typing import ClassVar

from rerank_service.settings.field_types import Hosts, KeyFile, Origins, Port, PositiveSeconds, Seconds, Secrets
from rerank_service.settings.group import SettingsGroup


class NetworkSettings(SettingsGroup):
    """Settings of addresses, connections and API keys."""

    heading: ClassVar[str] = "Network and API keys"

    host: Hosts = ("127.0.0.1",)
    """Addresses to listen on, for gRPC and REST, separated by commas: IP addresses, host names, and unix:FOLDER for the
    Unix sockets grpc.sock and rest.sock in an existing folder. :: means all interfaces by IPv6 and IPv4, 0.0.0.0 all
    interfaces by IPv4, localhost both loopback addresses. Example: 127.0.0.1,unix:/run/rerank."""
    grpc_port: Port = 50051
    """TCP port of gRPC on all addresses, from 0 to 65535. 0: the system chooses a free port."""
    rest_port: Port = 8080
    """TCP port of REST on all addresses, from 0 to 65535. 0: the system chooses a free port."""
    max_connection_age: PositiveSeconds | None = None
    """Maximum age of a gRPC connection, in seconds. An older connection is closed gracefully (GOAWAY): its calls
    finish, and clients that reconnect find new replicas. Unset: no maximum. Example: 300."""
    min_ping_interval: Seconds = 5.0
    """Minimum time between two keepalive pings of a gRPC client, in seconds, with and without running calls. A client
    that pings more often is disconnected with `too_many_pings`. 0: no minimum."""
    keepalive_time: PositiveSeconds = 60.0
    """Time without traffic after which the server pings a gRPC client, in seconds. A client that does not respond
    within --progress-timeout is disconnected. Set it below the idle timeout of a load balancer."""
    rest_idle_timeout: PositiveSeconds = 75.0
    """Time without a request after which a REST connection is closed, in seconds. Set it above the idle timeout of a
    load balancer, which otherwise sends requests on connections that are just being closed."""
    api_keys: Secrets = ()
    """API keys, separated by commas. Callers send one as `Authorization: Bearer KEY`. Unset, and without
    --api-keys-file: no key is required. Empty: the server does not start."""
    api_keys_file: KeyFile | None = None
    """YAML or JSON file with more API keys, read again when it changes: a list of entries with `name`, `key` or
    `sha256` (of the key, in hex), and optionally a weight, limits of requests and tokens, models and an expiry
    (docs/keys.md)."""
    cors_origins: Origins = ()
    """Origins whose pages may send REST requests from a browser (CORS), separated by commas, or * for all. A key in a
    page is readable by everyone who opens it. Unset: browsers send no request from other origins. Example:
    https://search.example.com."""
    playground: bool = True
    """Serve the playground, a page on which people rank texts in a browser, at / of the REST port. The page needs no
    API key; its requests do. False: / redirects to /docs."""
