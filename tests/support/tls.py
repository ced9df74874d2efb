"""Certificates and servers with TLS."""

import datetime as dt
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.api.http.app import build_app
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.api.tls.files import TlsFiles
from rerank_service.api.tls.store import CertificateStore
from support.limits import grpc_options, rest_options
from support.running import Running

NAMES = ("localhost", "127.0.0.1")
"""Names in the certificate of a server."""


@dataclass(frozen=True, slots=True)
class Pems:
    """Files in one folder, as in a Kubernetes Secret of cert-manager."""

    cert: Path
    key: Path
    ca: Path

    def files(self, *, client_ca: bool = False) -> TlsFiles:
        """Return the files of a server. `client_ca`: clients need a certificate of the same authority."""
        return TlsFiles(self.cert, self.key, self.ca if client_ca else None)

    def variables(self) -> dict[str, str]:
        """Return the settings of a server without client certificates."""
        return {"RERANK_TLS_CERT": str(self.cert), "RERANK_TLS_KEY": str(self.key)}


def write_pems(
    folder: Path,
    authority: trustme.CA,
    *,
    names: tuple[str, ...] = NAMES,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
) -> Pems:
    """Write a new certificate for names, its key, and the certificate of the authority."""
    issued = authority.issue_cert(*names, not_before=not_before, not_after=not_after)
    folder.mkdir(exist_ok=True)
    pems = Pems(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    pems.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    pems.key.write_bytes(issued.private_key_pem.bytes())
    pems.ca.write_bytes(authority.cert_pem.bytes())
    return pems


class SecretVolume:
    """A folder that changes as the kubelet changes a mounted Secret: a link is swapped to a new folder."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self._folder = folder
        self._versions = 0
        folder.mkdir()
        self.rotate(authority)
        self.pems = Pems(*(folder / name for name in ("tls.crt", "tls.key", "ca.crt")))
        for path in (self.pems.cert, self.pems.key, self.pems.ca):
            path.symlink_to(Path("..data") / path.name)

    def rotate(self, authority: trustme.CA) -> None:
        """Replace all files at once by new ones of an authority."""
        self._versions += 1
        write_pems(self._folder / f"..{self._versions}", authority)
        link = self._folder / "..data_tmp"
        link.symlink_to(f"..{self._versions}")
        os.replace(link, self._folder / "..data")  # noqa: PTH105 - rename(2), as the kubelet does


@dataclass(frozen=True, slots=True)
class TlsServed:
    """Both servers with TLS."""

    store: CertificateStore
    grpc: grpc_server.GrpcEdge
    grpc_port: int
    rest_port: int
    rest_url: str


@asynccontextmanager
async def tls_served(
    core: Running, files: TlsFiles, *, rest: Mapping[str, Any] | None = None, **grpc_changes: Any
) -> AsyncIterator[TlsServed]:
    """Serve a reranker over gRPC and REST with TLS, on ports that the system chooses. `rest` are options of REST."""
    store = CertificateStore(files)
    grpc_settings, rest_settings = grpc_options(tls=store, **grpc_changes), rest_options(tls=store, **(rest or {}))
    methods = RerankMethods(core.reranker, core.registry, grpc_settings)
    routes = RerankRoutes(core.reranker, core.registry, Keys(), rest_settings)
    routes.ready = True
    async with (
        grpc_server.listening((methods.service,), Keys(), grpc_settings) as grpc_edge,
        rest_listening(build_app(routes), rest_settings) as rest_edge,
    ):
        await grpc_edge.set_ready(ready=True)
        yield TlsServed(store, grpc_edge, grpc_edge.port, rest_edge.port, rest_edge.urls[0])


OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Without it, gRPC reuses the connection of an earlier channel with equal credentials."""
