"""Arguments of the gRPC channel and the metadata of each call. Private: import from rerank.client."""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from rerank._address import Address, channel_target
from rerank._tls import PemFile, channel_credentials

_RETRY_BUFFER_BYTES = 64 * 1024 * 1024
"""gRPC itself sends a call again that no server has seen. It keeps requests of up to this size for that. Its default,
256 KiB, is less than 1,000 documents."""
_SERVICE_CONFIG = {
    # send calls to all replicas of a headless service in turn, except replicas that are shutting down
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "rerank.v1.Rerank"},
}
"""Format: grpc/doc/service_config.md. It has no retryPolicy: `_retries` repeats calls."""
_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),  # the default limit is 4 MiB, and a response with documents can exceed it
    # detect a lost connection within 50 s, also during a long call and before the next one. Proxies and NAT drop idle
    # connections without a message. The server allows a ping every 5 s (RERANK_MIN_PING_INTERVAL)
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
    ("grpc.secondary_user_agent", "rerank-client"),  # the server ends calls of other grpc.aio clients more slowly
]
_SERVER_NAMES = {"grpc.ssl_target_name_override", "grpc.default_authority"}
"""Options with the name that certificates are checked against."""
_SCHEME = re.compile(r"dns:///|ipv[46]:")
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])(:\d+)?")


class ChannelArguments(NamedTuple):
    """Arguments of gRPC's functions that create a channel, blocking or for asyncio."""

    target: str
    credentials: grpc.ChannelCredentials | None
    """None: without TLS."""
    options: list[tuple[str, Any]]
    compression: grpc.Compression | None


def channel_arguments(
    address: Address,
    options: Sequence[tuple[str, Any]],
    *,
    credentials: grpc.ChannelCredentials | None,
    tls: tuple[PemFile | None, PemFile | None, PemFile | None],
    compress: bool = False,
) -> ChannelArguments:
    """Check and translate the parameters of a client. `tls` has the files of authorities, certificate and key.

    Raises:
        TypeError, ValueError: an address is wrong, or parameters of TLS contradict each other.
        OSError: a file of TLS cannot be read.
    """
    target = channel_target(address)
    all_options = channel_options(target, options)
    ca, cert, key = tls
    secure = channel_credentials(address, credentials, ca=ca, cert=cert, key=key)
    if secure is not None and not isinstance(address, str) and len(address) > 1:
        _check_server_name(options)
    return ChannelArguments(target, secure, all_options, grpc.Compression.Gzip if compress else None)


def _check_server_name(options: Sequence[tuple[str, Any]]) -> None:
    """Check that several addresses have a name for their certificates: gRPC takes their whole list for the name."""
    if not _SERVER_NAMES & {name for name, _ in options}:
        raise ValueError(
            "several addresses with TLS need the name in the certificates of the servers: give "
            'options=[("grpc.ssl_target_name_override", NAME)], or one address dns:///NAME:PORT with all servers'
        )


def channel_options(target: str, options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the channel options of the client, overridden by those of the caller.

    The proxy is off for loopback addresses, and for 0.0.0.0 and [::], which mean the local machine too: if http_proxy
    is set, gRPC would ask the proxy for them.
    """
    direct = [("grpc.enable_http_proxy", 0)] if _is_loopback(target) else []
    # gRPC uses the first of two options with the same name, so each name is passed once
    return list(dict([*_CHANNEL_OPTIONS, *direct, *options]).items())


def _is_loopback(target: str) -> bool:
    scheme = _SCHEME.match(target)
    hosts = target[scheme.end() if scheme else 0 :].split(",")
    return all(map(_LOOPBACK.fullmatch, hosts))


def call_metadata(api_key: str | None, *, compress: bool = False) -> tuple[tuple[str, str], ...]:
    """Return the metadata of each call: the API key as `authorization: Bearer KEY`, and the wish for gzip.

    Raises:
        TypeError: the key is not a str.
        ValueError: the key has a character that a header cannot have. The message does not quote the key.
    """
    if not isinstance(api_key, str | None):
        raise TypeError(f"api_key must be a str, not {type(api_key).__name__}")
    if api_key and (api_key != api_key.strip() or not (api_key.isascii() and api_key.isprintable())):
        raise ValueError(
            "api_key has white space at an end, or a character that is not printable ASCII: remove it, for example the "
            "line end of a file with key.strip()"
        )
    key = (("authorization", f"Bearer {api_key}"),) if api_key else ()
    return (*key, ("x-accept-encoding", "gzip")) if compress else key
