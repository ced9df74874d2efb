"""File descriptors of the process. Each connection needs one.

The limit of many systems is 1,024 by default (systemd, containerd), while the process may raise it. Without that,
strangers with idle connections could take all descriptors, and the server could read no file of keys and load no model.
"""

import resource

import structlog

_OTHERS = 512
"""Descriptors beside connections: files of models, libraries, and connections of our own."""

_log = structlog.get_logger()


def allow_descriptors(connections: int) -> None:
    """Raise the limit of the process so that it suffices for all connections, and log a warning if the system does not
    allow that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    reached = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    if reached < needed:
        _log.warning(
            "few file descriptors",
            limit=reached,
            needed=needed,
            why="idle connections may use all of them: raise the limit of open files (LimitNOFILE, ulimit -n), or "
            "lower --max-connections",
        )
