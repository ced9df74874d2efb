"""Typed client for rerank.v1.Admin, which loads, unloads and removes models. It needs only grpcio and protobuf."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc

from rerank._blocking_client import BlockingClient
from rerank._channel import call_metadata, channel_arguments
from rerank._retries import RetryPolicy, call_blocking
from rerank._tls import PemFile
from rerank.v1 import admin_pb2 as pb
from rerank.v1 import admin_pb2_grpc as pb_grpc

__all__ = ["DEFAULT_ADDRESS", "AdminClient"]

DEFAULT_ADDRESS = "127.0.0.1:50052"

In = TypeVar("In")
Out = TypeVar("Out")

_ONE_SERVER = ("grpc.service_config", "{}")
"""No retries, and no health checks of rerank.v1.Rerank, which the port for Admin does not have."""


class AdminClient(BlockingClient):
    """Blocking client for one server. Errors of a call are those of rerank.errors; admin.proto lists the statuses.

    No call is repeated. A call that is cancelled, or whose deadline passes, does not stop a load: the server continues
    with it.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        tls_ca: PemFile | None = None,
        tls_cert: PemFile | None = None,
        tls_key: PemFile | None = None,
        timeout: float | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Create a client that connects on its first call.

        Args:
            address: the address of `--admin-port`, as `host:port`, as `grpcs://host:port` for TLS, or as a gRPC target.
            api_key: key with `admin: true`, to send as `authorization: Bearer KEY`.
            credentials: as in RerankClient, like `tls_ca`, `tls_cert`, `tls_key` and `options`.
            timeout: deadline of each call, in seconds. None: wait until the work is finished, which may take minutes.

        Raises:
            TypeError, ValueError: an argument is wrong, or parameters of TLS contradict each other.
            OSError: a file of TLS cannot be read.
        """
        self._policy = RetryPolicy(retries=0, timeout=timeout)
        self._metadata = call_metadata(api_key)
        tls = (tls_ca, tls_cert, tls_key)
        super().__init__(channel_arguments(address, [_ONE_SERVER, *options], credentials=credentials, tls=tls))
        self._stub = pb_grpc.AdminStub(self._channel)

    def load(self, name: str, folder: str | os.PathLike[str] | None = None) -> pb.Bundle:
        """Load a model, or change it to a new version without losing a request. Return when it takes requests.

        Args:
            name: name of the model; with `folder`, also a new name.
            folder: folder at the server: an absolute path, or a path in its `--bundles-root`. None: the folder of the
                model, which is read again.

        Raises:
            FailedPrecondition: the model cannot be loaded; an earlier version serves on.
            ResourceExhausted: it does not fit into the memory.
            AlreadyExists, Aborted, NotFound, PermissionDenied, RerankError: see rerank.errors.
        """
        request = pb.LoadModelRequest(name=name, folder="" if folder is None else os.fspath(folder))
        return self._call(self._stub.LoadModel, request).bundle

    def unload(self, name: str) -> pb.Bundle:
        """Finish the accepted requests of a model and unload it. Return when its memory is free."""
        return self._call(self._stub.UnloadModel, pb.UnloadModelRequest(name=name)).bundle

    def remove(self, name: str) -> None:
        """Remove a model that `load` has added. Return when its accepted requests are finished and its memory is free.

        Raises:
            FailedPrecondition: the model is one of the server's settings: remove it there.
            Aborted, NotFound, RerankError: see rerank.errors.
        """
        self._call(self._stub.RemoveModel, pb.RemoveModelRequest(name=name))

    def bundles(self) -> Sequence[pb.Bundle]:
        """Return all models, the default model first, and then the bundles that no model uses."""
        return self._call(self._stub.ListBundles, pb.ListBundlesRequest()).bundles

    def set_readiness(self, *, ready: bool) -> None:
        """Switch the readiness of the server off or on. With False, load balancers send no new requests."""
        self._call(self._stub.SetReadiness, pb.SetReadinessRequest(ready=ready))

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[In, Out]", request: In) -> Out:
        return call_blocking(
            self._policy, lambda seconds: method(request, metadata=self._metadata, timeout=seconds), self._lifetime
        )
