"""Settings that bound slow clients and the number of connections."""

from typing import ClassVar

from rerank_service.settings.field_types import Count, PositiveSeconds
from rerank_service.settings.group import SettingsGroup


class ConnectionSettings(SettingsGroup):
    """Settings that bound slow clients and the number of connections."""

    heading: ClassVar[str] = "Slow clients and connections"

    header_timeout: PositiveSeconds = 10.0
    """Time for a new connection to finish its TLS handshake and the start of HTTP/2, and for a REST request to send its
    headers, in seconds. A slower client is disconnected."""
    progress_timeout: PositiveSeconds = 30.0
    """Time in which at least 1 KiB of a REST body must arrive, or its rest, in seconds. A slower request gets status
    408. A client that reads less than 1 KiB or 1/20 of its response in this time, or does not answer a gRPC ping, is
    disconnected."""
    grpc_idle_timeout: PositiveSeconds = 300.0
    """Time without calls after which a gRPC connection is closed gracefully (GOAWAY), in seconds. The next call of the
    client connects again. --rest-idle-timeout is the same for REST."""
    max_connections: Count = 2000
    """Maximum number of connections to each address of a port. Further ones are closed at once."""
    max_connection_calls: Count = 1000
    """Maximum number of calls at a time on one gRPC connection. Clients hold back further ones until a call ends."""
