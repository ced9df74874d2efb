"""Several machines on one: network namespaces with an address each, joined by a bridge."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

_ENTER = ("--user", "--net", "--preserve-credentials", "--")


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace with one address."""

    pid: int
    """Process that holds the namespace."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return the command that runs another command on this machine."""
        return ("nsenter", f"--target={self.pid}", *_ENTER)

    def run(self, script: str) -> None:
        """Run a shell script on this machine."""
        subprocess.run([*self.prefix, "sh", "-ec", script], check=True, timeout=60)


@contextmanager
def _held(command: Sequence[str]) -> Iterator[Machine]:
    """Hold new namespaces until the end of the block. Skip the test where they are not allowed."""
    hold = [*command, "sh", "-ec", "ip link set lo up; echo made; exec sleep infinity"]
    try:
        holder = subprocess.Popen(hold, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} (util-linux) is not installed")
    with holder:
        try:
            assert holder.stdout is not None
            if (line := holder.stdout.readline()) != "made\n":
                pytest.skip(f"this user cannot make a network namespace: {line}")
            yield Machine(holder.pid)
        finally:
            holder.kill()


@contextmanager
def bridge(address: str) -> Iterator[Machine]:
    """Make a machine with a bridge, on which other machines can be placed. `address` has the length of the network."""
    with _held(["unshare", "--map-root-user", "--net"]) as made:
        try:
            made.run(f"ip link add br0 type bridge; ip address add {address} dev br0; ip link set br0 up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this user cannot make a bridge: {error}")
        yield made


@contextmanager
def machine(on: Machine, address: str) -> Iterator[Machine]:
    """Place a machine on a bridge. `address` has the length of the network, such as 10.0.0.2/24."""
    with _held([*on.prefix, "unshare", "--net"]) as made:
        cable = f"v{made.pid}"
        on.run(f"ip link add {cable} type veth peer name eth0 netns {made.pid}; ip link set {cable} master br0 up")
        made.run(f"ip address add {address} dev eth0; ip link set eth0 up")
        yield made
