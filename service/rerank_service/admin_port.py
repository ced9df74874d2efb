"""The port of the service Admin: its settings, its checks, and the server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from rerank_service.api.address import listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.admin_v1 import AdminMethods
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.request_observation import Observing
from rerank_service.api.tls.store import CertificateStore
from rerank_service.errors import SettingsInvalid
from rerank_service.lifecycle.bundle_folders import BundleFolders
from rerank_service.lifecycle.model_control import ModelControl
from rerank_service.settings import Settings
from rerank_service.wiring import grpc_options

_log = structlog.get_logger()


@asynccontextmanager
async def listening_for_admin(
    settings: Settings, options: GrpcOptions | None, control: ModelControl, keys: Keys, observing: Observing
) -> AsyncIterator[tuple[str, ...]]:
    """Serve Admin during the block, and yield the targets of its addresses; none if `--admin-port` is unset.

    `options` are those of `admin_options`.

    Raises:
        SettingsInvalid: an address cannot be listened on, or `--bundles-root` is wrong.
    """
    if options is None:
        yield ()
        return
    if (problem := admin_keys_problem(keys)) is not None:
        _log.warning("no admin key", port=options.port, why=problem)
    service = AdminMethods(control, bundle_folders(settings), keys).service
    async with grpc_server.listening((service,), keys, options, observing) as edge:
        await edge.set_ready(ready=True)
        yield edge.targets


def admin_options(settings: Settings, keys: Keys, tls: CertificateStore | None = None) -> GrpcOptions | None:
    """Return the options of the port for Admin; None if it is off.

    Raises:
        SettingsInvalid: other machines could reach the port, and no API key is required, or a host name has no address
            of this machine.
    """
    if settings.admin_port is None:
        return None
    addresses = listen_addresses(settings.admin_host, flag="--admin-host")
    if not keys.required and not all(each.is_loopback for each in addresses):
        raise SettingsInvalid(
            f"--admin-host or RERANK_ADMIN_HOST is {','.join(settings.admin_host)}, and no API keys are set: set "
            "--api-keys-file with a key of `admin: true`, or use 127.0.0.1, so that not everyone can change the server"
        )
    return replace(
        grpc_options(settings, addresses, tls),
        port=settings.admin_port,
        port_flag="--admin-port",
        host_flag="--admin-host",
    )


def admin_keys_problem(keys: Keys) -> str | None:
    """Return why the keys admit nobody to Admin; None if they do. The file of keys may get such a key later."""
    if keys.required and not keys.has_admin:
        return "no key in --api-keys-file has `admin: true`, so all calls fail"
    return None


def bundle_folders(settings: Settings) -> BundleFolders:
    """Return the folders from which Admin may load models.

    Raises:
        SettingsInvalid: `--bundles-root` is no folder, or is the root of the file system.
    """
    root = settings.bundles_root
    if root is None:
        return BundleFolders()
    resolved = Path(os.path.realpath(root))
    if not os.path.isdir(resolved) or resolved == Path("/"):  # noqa: PTH112 - Path.is_dir raises without permission
        problem = "has all files of the machine" if resolved == Path("/") else "is no folder that can be read"
        raise SettingsInvalid(
            f"--bundles-root or RERANK_BUNDLES_ROOT is {str(root)!r}, which {problem}: give a folder with bundles"
        )
    return BundleFolders(root.absolute())
