"""Errors of a disk or a network file system. They may end without a change of a setting."""

import errno
import ssl

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
        # `errno` of an SSLError is a number of OpenSSL: that of a wrong key is the same as ESTALE
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno in _STORAGE_ERRORS:
            return True
        cause = cause.__cause__
    return False
