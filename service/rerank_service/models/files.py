"""Names of the files of a model folder, and how its JSON files are read."""

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rerank_service.errors import BundleInvalid
from rerank_service.quantities import counted

STARTER = Path(__file__).parent / "starter"
"""Folder of the starter model."""
STARTER_NAME = "starter"
"""Short name of that folder, wherever a model folder is given."""

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
REPORT = "report.json"
GOLDEN = "golden.json"

_MAX_JSON_BYTES = 8 * 1024 * 1024
"""Maximum size of a JSON file. A tokenizer_config.json of the hub may have a megabyte."""

_Model = TypeVar("_Model", bound=BaseModel)


_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: Path) -> bool:
    """Return whether a file is a pointer of Git LFS: the text that a clone without Git LFS has in its place."""
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def model_folder(given: Path, below: Path = Path()) -> Path:
    """Return the folder that a setting or a file names: `starter` is the bundled starter model, unless there is a
    folder (or file) of that name. Relative paths begin in the folder `below`."""
    if str(given) == STARTER_NAME and not os.path.lexists(below / given):
        return STARTER
    return below / given


def validate(model: type[_Model], value: dict[str, Any], path: Path) -> _Model:
    """Return the contents of a JSON file as a pydantic model.

    Raises:
        BundleInvalid: a field is wrong; the message names the file and the field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BundleInvalid(f"{path}: {field}: {first['msg']}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        BundleInvalid: the file is missing, unreadable, larger than 8 MiB, or not a JSON object.
    """
    try:
        value = json.loads(_content(path))
    except (ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleInvalid(f"{path} is not a JSON object")
    return value


def _content(path: Path) -> bytes:
    """Return the bytes of a small file. Opens regular files only, because opening a FIFO would block."""
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
            f"{path} has more than {counted(_MAX_JSON_BYTES, 'byte')}, the maximum for a JSON file of a model"
        )
    return content
