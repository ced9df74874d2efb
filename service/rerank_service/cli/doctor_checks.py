"""The checks of `rerank doctor`, with the values of the settings.

Rule: each check imports its packages inside its function, so that a broken package breaks only its own checks.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from rerank_service.cli.settings_arguments import unknown_variables
from rerank_service.errors import SettingsInvalid
from rerank_service.installation import command_name, installed_version
from rerank_service.settings import Settings
from rerank_service.tools.doctor.checks import Check, run_checks
from rerank_service.tools.doctor.finding import Finding, ok, wrong
from rerank_service.tools.doctor.packages import own_requirements, package_findings

if TYPE_CHECKING:
    from rerank_service.api.address import UnixAddress

_REPORT_ENGINES = "install the runtime again in a new environment, or report the message as a bug"
_MODEL_FIX = "change the setting or the model folder as the message says, or set another --model"
_FILE_FIX = "change the setting or the file as the message says"


def machine_checks() -> list[Check]:
    """Return the checks that need no settings."""
    return [
        Check("packages", _packages, "install rerank-service again in a new environment"),
        Check("processor", _processor, "report the message as a bug"),
        Check("limits", _limits, "check that /proc and /sys/fs/cgroup can be read"),
        Check("engines", _engines, _REPORT_ENGINES),
    ]


def settings_checks(settings: Settings, *, loads: bool) -> list[Check]:
    """Return the checks of the settings: addresses, files, cache and models.

    `loads`: load each model, and score its golden pairs.
    """
    return [
        Check("settings", partial(_settings, settings), f"run `{command_name()} serve --help` for all settings"),
        Check("TLS", partial(_tls, settings), _FILE_FIX),
        Check("API keys", partial(_keys, settings), _FILE_FIX),
        Check("ports", partial(_ports, settings), "give other addresses or ports"),
        Check("open files", partial(_open_files, settings), "check that the limit of open files can be read"),
        *_admin_checks(settings),
        Check("traces", partial(_traces, settings), "change the setting or the variable as the message says"),
        Check("cache", partial(_cache, settings), "set --cache or RERANK_CACHE to a folder that can be written"),
        Check("models", partial(_models, settings, loads=loads), _FILE_FIX),
    ]


def _packages() -> Iterator[Finding]:
    yield from package_findings(installed_version, own_requirements())


def _processor() -> Iterator[Finding]:
    from rerank_service.engine.host import cpu
    from rerank_service.tools.doctor.processor import processor_findings

    yield from processor_findings(cpu())


def _limits() -> Iterator[Finding]:
    from rerank_service.engine.cgroup_limits import memory_limits
    from rerank_service.engine.host import cores
    from rerank_service.tools.doctor.machine_limits import cores_findings, memory_findings

    yield from cores_findings(cores(), os.cpu_count() or 1)
    yield from memory_findings(memory_limits())


def _engines() -> Iterator[Finding]:
    from rerank_service.engine import nvidia_driver
    from rerank_service.engine.available import available_engines
    from rerank_service.engine.host import cpu
    from rerank_service.engine.kinds import Precision, Provider
    from rerank_service.engine.runtime import BUILT_IN_PROVIDERS
    from rerank_service.tools.doctor.engines import engine_findings

    yield ok("providers", f"built into onnxruntime: {', '.join(BUILT_IN_PROVIDERS)}")
    has_gpu = nvidia_driver.open_driver() is not None
    yield from engine_findings(available_engines(Provider.AUTO, Precision.AUTO), cpu(), has_gpu=has_gpu)


def _settings(settings: Settings) -> Iterator[Finding]:
    changed = sorted(settings.model_fields_set)
    yield ok("settings", f"valid; set: {', '.join(changed) or 'none'}")
    for name, nearest in unknown_variables(settings).items():
        yield wrong("settings", f"{name} has no effect", f"set {nearest}" if nearest else f"remove it: unset {name}")


def _tls(settings: Settings) -> Iterator[Finding]:
    from rerank_service.tools.doctor.protection import tls_finding
    from rerank_service.wiring import certificate_store

    store = certificate_store(settings)
    not_after = None if store is None else store.current().not_after
    yield tls_finding(not_after, mutual=settings.tls_client_ca is not None)


def _keys(settings: Settings) -> Iterator[Finding]:
    from rerank_service.api.address import listen_addresses
    from rerank_service.tools.doctor.protection import keys_finding
    from rerank_service.wiring import api_keys

    loopback = False
    with suppress(SettingsInvalid):  # the check of the ports reports wrong addresses
        loopback = all(each.is_loopback for each in listen_addresses(settings.host))
    yield keys_finding(required=api_keys(settings).required, loopback=loopback)


def _ports(settings: Settings) -> Iterator[Finding]:
    from rerank_service.api.address import TcpAddress, listen_addresses
    from rerank_service.api.tcp_sockets import reserved_port
    from rerank_service.cli.doctor_running_server import is_own_port
    from rerank_service.tools.doctor.answers import grpc_answers, metrics_answer, rest_answers
    from rerank_service.tools.doctor.ports import port_finding
    from rerank_service.wiring import metrics_options

    addresses = listen_addresses(settings.host)
    tcp = [each for each in addresses if isinstance(each, TcpAddress)]
    ports = [("--grpc-port", settings.grpc_port, grpc_answers), ("--rest-port", settings.rest_port, rest_answers)]
    for flag, port, answers in ports if tcp else ():
        reserve = partial(reserved_port, tcp, port, flag=flag)
        yield port_finding(flag, port, reserve, partial(is_own_port, settings, tcp[0], port, answers))
    for each in addresses:
        if not isinstance(each, TcpAddress):
            yield from _sockets(each)
    if (metrics := metrics_options(settings, addresses)) is not None:  # last: a wrong setting is an error
        reserve = partial(reserved_port, tcp, metrics.port, flag="--metrics-port")
        is_own = partial(is_own_port, settings, tcp[0], metrics.port, metrics_answer, has_tls=False)
        yield port_finding("--metrics-port", metrics.port, reserve, is_own)


def _sockets(listens: "UnixAddress") -> Iterator[Finding]:
    from rerank_service.api.unix_sockets import check_free
    from rerank_service.cli.doctor_running_server import is_own_socket
    from rerank_service.tools.doctor.ports import socket_finding, socket_folder_problem

    problem = socket_folder_problem(listens.folder)
    if problem is not None:
        yield problem
        return
    for protocol in ("grpc", "rest"):
        path = listens.path(protocol)
        yield socket_finding(path, partial(check_free, path), partial(is_own_socket, listens, protocol))


def _open_files(settings: Settings) -> Iterator[Finding]:
    from rerank_service.api.address import listen_addresses
    from rerank_service.lifecycle.descriptors import descriptors
    from rerank_service.tools.doctor.machine_limits import descriptors_finding
    from rerank_service.wiring import all_connections

    with suppress(SettingsInvalid):  # the check of the ports reports wrong addresses
        addresses = len(listen_addresses(settings.host))
        yield descriptors_finding(descriptors(all_connections(settings, addresses)))


def _admin_checks(settings: Settings) -> list[Check]:
    """Return the checks of Admin, each on its own; none if its port is off."""
    if settings.admin_port is None:
        return []
    fix = "change the setting as the message says"
    return [Check("Admin", partial(find, settings), fix) for find in (_bundles_root, _admin_keys, _admin_port)]


def _bundles_root(settings: Settings) -> Iterator[Finding]:
    from rerank_service.admin_port import bundle_folders

    bundle_folders(settings)  # raises an error for a wrong --bundles-root
    yield from ()


def _admin_keys(settings: Settings) -> Iterator[Finding]:
    from rerank_service.admin_port import admin_keys_problem, admin_options
    from rerank_service.wiring import api_keys

    keys = api_keys(settings)
    admin_options(settings, keys)  # raises an error for a wrong --admin-host
    if (problem := admin_keys_problem(keys)) is not None:
        yield wrong("Admin", problem, "set `admin: true` for a key in --api-keys-file")


def _admin_port(settings: Settings) -> Iterator[Finding]:
    from rerank_service.api.address import TcpAddress, listen_addresses
    from rerank_service.api.tcp_sockets import reserved_port
    from rerank_service.cli.doctor_running_server import is_own_port
    from rerank_service.tools.doctor.answers import grpc_answers
    from rerank_service.tools.doctor.ports import port_finding

    port, tcp = settings.admin_port, []
    with suppress(SettingsInvalid):  # the check of the keys reports wrong addresses
        addresses = listen_addresses(settings.admin_host, flag="--admin-host")
        tcp = [each for each in addresses if isinstance(each, TcpAddress)]
    if port is None or not tcp:
        return
    reserve = partial(reserved_port, tcp, port, flag="--admin-port", host_flag="--admin-host")
    yield port_finding("--admin-port", port, reserve, partial(is_own_port, settings, tcp[0], port, grpc_answers))


def _traces(settings: Settings) -> Iterator[Finding]:
    from rerank_service.wiring import tracer_provider

    provider = tracer_provider(settings)
    if provider is not None:
        provider.shutdown()
    yield ok("traces", "off" if provider is None else "on: the variables OTEL_… are valid; no span was sent")


def _cache(settings: Settings) -> Iterator[Finding]:
    from rerank_service.tools.doctor.cache_folder import cache_findings
    from rerank_service.wiring import cache_folder

    yield from cache_findings(cache_folder(settings))


def _models(settings: Settings, *, loads: bool) -> Iterator[Finding]:
    """Check each model on its own, and then the memory of those that are loaded at the start."""
    from rerank_service.engine.cgroup_limits import memory_limits
    from rerank_service.engine.process_memory import return_free_memory
    from rerank_service.models.catalog.entry import Load, ModelEntry
    from rerank_service.models.loading import SelectedModel, select_model
    from rerank_service.tools.doctor.model import model_findings, together_findings
    from rerank_service.wiring import model_entries, model_options

    limits = memory_limits()
    uses_memory = bool(limits) and _runs_here(settings)
    started: list[SelectedModel] = []

    def check(entry: ModelEntry) -> Check:
        name = "model" if settings.models is None else f"model {entry.name}"
        return Check(name, partial(_model, name, entry), _MODEL_FIX)

    def _model(name: str, entry: ModelEntry) -> Iterator[Finding]:
        selected = select_model(model_options(entry, settings))
        if entry.load is Load.START:
            started.append(selected)
        return_free_memory()  # that of the models before
        left_now = memory_limits()  # the allocator may keep a part all the same
        yield from model_findings(name, selected, left_now, loads=loads, runs_here=uses_memory)

    yield from run_checks(check(entry) for entry in model_entries(settings))
    yield from together_findings(started, limits)


def _runs_here(settings: Settings) -> bool:
    from rerank_service.cli.doctor_running_server import runs_here

    with suppress(SettingsInvalid):  # the check of the ports reports wrong addresses
        return runs_here(settings)
    return False
