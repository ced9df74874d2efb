"""Three replicas and both proxies of deploy/proxies, each on a machine of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.namespaces import Machine, bridge, machine
from support.process import Process, started

FILES = Path(__file__).parents[2] / "deploy" / "proxies"
"""Folder of the configurations of the proxies."""
_HUB, _NETWORK = "10.0.0.1", "/24"
PROXIES = {"haproxy": "10.0.0.2", "nginx": "10.0.0.3"}
"""Address of each proxy."""
REPLICAS = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
"""The addresses in the files of deploy/proxies."""
GRPC_PORT, REST_PORT = 50051, 8080


@dataclass(slots=True)
class Cluster:
    """Replicas behind proxies. `hub` is the machine of their clients."""

    hub: Machine
    options: Sequence[str]
    """Options of each replica."""
    machines: Sequence[Machine]
    _stack: ExitStack
    processes: list[Process] = field(default_factory=list)

    def start(self, number: int, *options: str) -> None:
        """Start a replica with more options."""
        ports = ("--grpc-port", str(GRPC_PORT), "--rest-port", str(REST_PORT))
        address = ("--host", REPLICAS[number], "--forwarded-allow-ips", f"10.0.0.0{_NETWORK}")
        arguments = (*self.options, *ports, *address, *options)
        process = self._stack.enter_context(started(*arguments, prefix=self.machines[number].prefix))
        self.processes[number : number + 1] = [process]

    def restart(self, number: int, name: str) -> None:
        """End a replica gracefully, and start it again. `name` is the name of its model, which responses show."""
        self.processes[number].popen.terminate()
        assert self.processes[number].ended() == 0
        self.start(number, "--model-name", name)

    def kill(self, number: int) -> None:
        """End a replica at once (SIGKILL)."""
        self.processes[number].popen.kill()
        self.processes[number].ended()


def program(name: str) -> str:
    """Return the path of a program. Skip the test if it is not installed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return path


def proxy_command(name: str) -> list[str]:
    """Return the command that runs a proxy with its file of deploy/proxies, as it is."""
    path = program(name)
    if name == "haproxy":
        return [path, "-db", "-f", str(FILES / "haproxy.cfg")]
    # a /tmp of its own for the files that nginx writes. The configuration is opened before: it may lie in /tmp
    nginx = f"{path} -e stderr -c /dev/fd/3 -g 'daemon off; user root;'"
    steps = (f"exec 3<'{FILES / 'nginx.conf'}'", "mount -t tmpfs tmpfs /tmp", f"exec {nginx}")
    return ["unshare", "--mount", "sh", "-ec", "; ".join(steps)]


@contextmanager
def cluster(*options: str) -> Iterator[Cluster]:
    """Run three replicas with options, and both proxies. Skip the test where namespaces are not allowed.

    A single model (`--model`) has the name of its replica, so that responses show which replica made them.
    """
    commands = {name: proxy_command(name) for name in PROXIES}
    with ExitStack() as stack:
        hub = stack.enter_context(bridge(_HUB + _NETWORK))
        machines = [stack.enter_context(machine(hub, address + _NETWORK)) for address in REPLICAS]
        made = Cluster(hub, options, machines, stack)
        for number in range(len(REPLICAS)):
            made.start(number, *(("--model-name", f"replica-{number}") if "--model" in options else ()))
        for name, address in PROXIES.items():
            place = stack.enter_context(machine(hub, address + _NETWORK))
            stack.enter_context(_running([*place.prefix, *commands[name]]))
            listening = " && ".join(f"true 2>/dev/null >/dev/tcp/{address}/{port}" for port in (GRPC_PORT, REST_PORT))
            hub.run(f"exec bash -c 'until {listening}; do :; done' 2>/dev/null")
        yield made


@contextmanager
def _running(command: Sequence[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as popen:
        try:
            yield
        finally:
            popen.terminate()
