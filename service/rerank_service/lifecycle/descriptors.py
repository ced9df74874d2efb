"""File descriptors of the process. Each connection needs one.

The limit of many systems is 1,024 by default (systemd, containerd), while the process may raise it. Without that,
strangers with idle connections could take all descriptors, and the server could read no file of keys and load no model.
"""

import resource
import sys
from dataclasses import dataclass

import structlog

_OTHERS = 512
"""Descriptors beside connections: files of models, libraries, and connections of our own."""
FEW = "idle connections may use all of them"
"""The danger of too few descriptors."""
FEW_FIX = "raise the limit of open files (LimitNOFILE, ulimit -n), or lower --max-connections"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The file descriptors that a server gets and needs."""

    limit: int
    """The limit of the process, raised as far as it needs and the system allows."""
    needed: int

    @property
    def suffice(self) -> bool:
        """True if the limit suffices for all connections."""
        return self.limit >= self.needed


def descriptors(connections: int) -> Descriptors:
    """Return the descriptors for a number of connections. Changes no limit."""
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    needed = connections + _OTHERS
    return Descriptors(max(soft, min(needed, hard)), needed)


def allow_descriptors(connections: int) -> None:
    """Raise the limit of the process so that it suffices for all connections, and log a warning if the system does not
    allow that."""
    found = descriptors(connections)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if found.limit > _number(soft):
        resource.setrlimit(resource.RLIMIT_NOFILE, (found.limit, hard))
    if not found.suffice:
        _log.warning("few file descriptors", limit=found.limit, needed=found.needed, why=f"{FEW}: {FEW_FIX}")


def _number(limit: int) -> int:
    """Return a limit, with a large number for none."""
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
