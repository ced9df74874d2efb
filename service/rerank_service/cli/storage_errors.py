"""Errors of a disk or a network file system. They may end without a change of a setting."""

import errno

_STORAGE_ERRORS = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EIO,
        errno.ENETUNREACH,
        errno.ENODEV,
        errno.ENOTCONN,
        errno.EREMOTEIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


def storage_failed(error: BaseException) -> bool:
    """Return whether a disk or a network file system is the cause of an error, so that a restart may help."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _STORAGE_ERRORS:
            return True
        cause = cause.__cause__
    return False
