"""The Ray cluster of a job: connect to it, and plan the actors that fit."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from rerank_service.engine.host import usable_cores
from rerank_service.errors import OperatorError, SettingsInvalid

LOCAL = "local"
"""Address that starts a cluster on this machine, and ends it with the job."""


@dataclass(frozen=True, slots=True)
class ActorPool:
    """Number and size of the actors."""

    actors: int
    cpus: int
    """CPUs of each actor, which is its number of lanes, too."""


@contextmanager
def connected(address: str) -> Iterator[list[int]]:
    """Connect to a cluster during the block, and yield the number of CPUs of each node.

    Raises:
        SettingsInvalid: the address is of another kind.
        OperatorError: there is no cluster at the address.
    """
    if "://" in address:
        raise SettingsInvalid(
            f"--ray {address}: run the command on a node of the cluster, with --ray auto, for example by "
            "`ray job submit --address http://HEAD:8265 -- rerank batch IN OUT --ray auto`"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing to outside hosts
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own: dict[str, Any] = {"num_cpus": usable_cores(), "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = next(iter(str(error).splitlines()), "")
        raise OperatorError(f"--ray {address}: no connection to a cluster: {line}") from error
    try:
        yield [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def plan_actors(node_cpus: Sequence[int], *, actors: int | None, cpus: int | None) -> ActorPool:
    """Return the actors that fit on nodes with so many CPUs. None: all CPUs of the smallest node, and all that fit.

    Raises:
        SettingsInvalid: they do not fit.
    """
    sizes = [size for size in node_cpus if size]
    if not sizes:
        raise SettingsInvalid("--ray: the cluster has no CPUs: start a node with `ray start`")
    size = cpus or min(sizes)
    room = sum(node // size for node in sizes)
    if not room:
        raise SettingsInvalid(f"--actor-cpus (or RERANK_LANES) is {size}, and the largest node has {max(sizes)} CPUs")
    if actors is not None and actors > room:
        raise SettingsInvalid(
            f"--actors is {actors}, and the cluster has room for {room} with {size} CPUs each: set a smaller "
            "--actors or --actor-cpus"
        )
    return ActorPool(actors or room, size)
