"""Arguments as text. Python has surrogates for bytes of an argument that are not UTF-8. No message can have them."""

import argparse
import os
from contextlib import suppress
from typing import Any

from rerank_service.errors import SettingsInvalid
from rerank_service.surrogates import decode_text


class PathText(str):
    """An argument that is or may be a path: it may have bytes that are not UTF-8. For `type` of `add_argument`."""

    __slots__ = ()


def decode_arguments(arguments: argparse.Namespace) -> None:
    """Replace each text by the one that the system passed. Paths stay as they are, as do settings of the server, which
    are checked one by one.

    Raises:
        SettingsInvalid: an argument is not UTF-8.
    """
    if "settings" in arguments:
        return
    for name, value in list(vars(arguments).items()):
        setattr(arguments, name, _decoded(value))


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(element) for element in value]
    if isinstance(value, PathText):
        return str(value)
    if not isinstance(value, str):
        return value
    with suppress(UnicodeEncodeError):
        value.encode()
        return value  # without surrogates, whatever the encoding of the locale is
    try:
        return decode_text(os.fsencode(value))
    except UnicodeError as error:
        raise SettingsInvalid(f"an argument is not UTF-8 text: {error}") from error
