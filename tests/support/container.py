"""Run the image with podman, as root, with the limits of the Kubernetes manifests."""

import json
import resource
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.container_image import output
from support.process import read_until

# crun, the default, rejects machines with both versions of cgroups
_RUNTIME = () if Path("/sys/fs/cgroup/cgroup.controllers").exists() else ("--runtime=runc",)
_PODMAN = ("podman", *_RUNTIME, "--cgroup-manager=cgroupfs", "--events-backend=none")
_RESTRICTIONS = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    # podman's defaults, or less where a machine without CAP_SYS_RESOURCE has less
    *(
        f"--ulimit={name}={min(usual, resource.getrlimit(limit)[1])}"
        for name, limit, usual in (("nofile", resource.RLIMIT_NOFILE, 2**20), ("nproc", resource.RLIMIT_NPROC, 2**15))
    ),
)


@dataclass(frozen=True, slots=True)
class Container:
    """A running server in a container, in the network of this machine."""

    name: str
    grpc_port: int
    rest_port: int

    def healthy(self) -> bool:
        """Run the HEALTHCHECK of the image once."""
        return subprocess.run([*_PODMAN, "healthcheck", "run", self.name], capture_output=True).returncode == 0

    def python(self, code: str) -> str:
        """Run Python code in the container, and return its output."""
        return output(*_PODMAN, "exec", self.name, "python3", "-c", code)

    def terminate(self) -> None:
        """Send SIGTERM to the server, as the kubelet does."""
        output(*_PODMAN, "kill", "--signal=TERM", self.name)

    def ended(self) -> int:
        """Wait until the container has ended, and return its exit status."""
        return int(output(*_PODMAN, "wait", self.name))

    def log(self) -> list[dict[str, object]]:
        """Return all log events so far."""
        done = subprocess.run([*_PODMAN, "logs", self.name], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]


def free_ports(count: int) -> list[int]:
    """Return different ports that no server uses."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def container(image: str) -> Iterator[Container]:
    """Run the image on free ports until it is ready, and remove the container at the end."""
    grpc_port, rest_port = free_ports(2)
    variables = {
        "RERANK_GRPC_PORT": grpc_port,
        "RERANK_REST_PORT": rest_port,
        "RERANK_LOG_FORMAT": "json",
        "RERANK_TUNE": "off",
    }
    options = [f"--env={key}={value}" for key, value in variables.items()]
    name = f"rerank-image-test-{uuid.uuid4().hex[:8]}"
    run = ("run", "--detach", f"--name={name}", "--network=host", "--log-driver=k8s-file")
    try:
        output(*_PODMAN, *run, *_RESTRICTIONS, *options, image)
        with subprocess.Popen(
            [*_PODMAN, "logs", "--follow", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as logs:
            assert logs.stdout is not None
            read_until(logs.stdout, '"event": "ready"')
            logs.terminate()
        yield Container(name, grpc_port, rest_port)
    finally:
        subprocess.run([*_PODMAN, "rm", "--force", "--time=0", name], capture_output=True)
