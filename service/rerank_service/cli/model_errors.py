"""Errors about the model that a setting or an argument names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_service.errors import BundleInvalid, MemoryTooSmall, SettingsInvalid
from rerank_service.settings_errors import flag, wrong_value


@contextmanager
def named_model(folder: Path | None, *, has_variable: bool = True) -> Iterator[None]:
    """Raise errors about the model as errors of the setting `--model`. None: the bundled starter model.

    `has_variable`: RERANK_MODEL sets it, too.

    Raises:
        SettingsInvalid: the block raised BundleInvalid or MemoryTooSmall.
    """
    try:
        yield
    except (BundleInvalid, MemoryTooSmall) as error:
        message = str(error)
        if folder is None or message.startswith(flag("")):  # another setting is the reason, such as --provider
            raise SettingsInvalid(message) from error
        named = wrong_value("model", str(folder), message) if has_variable else f"--model is {str(folder)!r}: {message}"
        raise SettingsInvalid(named) from error
