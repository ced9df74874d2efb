"""Names of the files of a model folder, and how its JSON files are read."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rerank_service.error_text import excerpt, one_line
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

AGAIN = "export the model again, or download it again"
"""Next step after an error about a damaged file of a model."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""Beginning of a pointer of Git LFS: the text that a clone without Git LFS has in the place of a file."""

_Model = TypeVar("_Model", bound=BaseModel)


def check_not_lfs_pointer(path: Path) -> None:
    """Check that a file is not a pointer of Git LFS.

    Raises:
        BundleInvalid: it is one.
    """
    with path.open("rb") as file:
        _check_not_lfs_pointer(path, file.read(len(_LFS_POINTER)))


def _check_not_lfs_pointer(path: Path, content: bytes) -> None:
    if content.startswith(_LFS_POINTER):
        raise BundleInvalid(f"{path} is a pointer of Git LFS: run `git lfs pull` in its folder")


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
        reason = one_line(f"{excerpt(field)}: {first['msg']}")
        raise BundleInvalid(f"{path}: {reason}. Correct it, or {AGAIN}") from error


def json_digest(value: dict[str, Any]) -> str:
    """Return the sha256, in hex, of a JSON object. The order of its fields does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_json(path: Path, *, unique_names: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file. With `unique_names`, an object that has a name twice is an error.

    Raises:
        BundleInvalid: the file is missing, unreadable, larger than 8 MiB, or not a JSON object.
    """
    content = _content(path)
    _check_not_lfs_pointer(path, content)
    try:
        value = json.loads(content, object_pairs_hook=_unique if unique_names else None)
    except (ValueError, RecursionError) as error:
        raise BundleInvalid(f"{path} is not JSON: {one_line(error)}. Correct it, or {AGAIN}") from error
    if not isinstance(value, dict):
        raise BundleInvalid(f"{path} is not a JSON object: {AGAIN}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. The last of two equal names would count, and readers may see the first one."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{excerpt(twice)!r} is there twice in an object")
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
