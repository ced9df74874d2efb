"""Files that commands write."""

from pathlib import Path

from rerank_service.errors import SettingsInvalid


def check_writable(path: Path | None) -> None:
    """Check that a file can be written, before minutes of work for its content.

    Raises:
        SettingsInvalid: it cannot be written.
    """
    if path is None:
        return
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise SettingsInvalid(f"cannot write {path}: {error.strerror}") from error
