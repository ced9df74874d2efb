"""The files of a model folder: what they are called, and how its JSON is read."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rerank_service.errors import BundleInvalid
from rerank_service.quantities import counted

STARTER = Path(__file__).parent / "starter"
"""Folder of the bundled model."""

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
REPORT = "report.json"

MIN_TOKENS = 8
MAX_TOKENS = 2**20
"""Bounds of a window."""
MAX_PAD_ID = 2**31 - 1
_MAX_JSON_BYTES = 8 * 1024 * 1024
"""Of a manifest or a config; a hub's tokenizer_config.json may have a megabyte."""

_Form = TypeVar("_Form", bound=BaseModel)


def checked(form: type[_Form], value: dict[str, Any], path: Path) -> _Form:
    """A value in a form.

    Raises:
        BundleInvalid: it is not; the path and the field are named.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleInvalid(f"{path}: {where}: {first['msg']}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BundleInvalid: there is none.
    """
    try:
        value = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleInvalid(f"{path} is not a JSON object")
    return value


def _content(path: Path) -> bytes:
    """A small file's bytes. What is no regular file is not opened: one that nobody writes to would block."""
    if not path.exists():
        raise BundleInvalid(f"{path} is missing")
    if not path.is_file():
        raise BundleInvalid(f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_JSON_BYTES + 1)
    except OSError as error:
        raise BundleInvalid(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _MAX_JSON_BYTES:
        raise BundleInvalid(
            f"{path} has more than {counted(_MAX_JSON_BYTES, 'byte')}, too many for a JSON file of a model"
        )
    return content
