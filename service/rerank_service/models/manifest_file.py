"""Read and write manifest.json, which contains a digest of itself."""

import json
import os
from pathlib import Path
from typing import Any

from rerank_service.errors import BundleInvalid
from rerank_service.models.files import AGAIN, MANIFEST, json_digest, read_json, validate
from rerank_service.models.manifest import Manifest

_OWN_DIGEST = "manifest_sha256"
"""Entry of `recipe` with the sha256 of the rest of the manifest. Older servers ignore entries of `recipe`, and reject
unknown fields of a manifest."""


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder. The files that it lists are not verified.

    Raises:
        BundleInvalid: the manifest is missing, invalid, damaged, or was changed after it was written.
    """
    path = folder / MANIFEST
    value = read_json(path, unique_names=True)
    manifest = validate(Manifest, value, path)
    written = manifest.recipe.get(_OWN_DIGEST)
    if written is not None and written != _own_digest(value):
        raise BundleInvalid(
            f"{path} was changed after it was written: its sha256 differs from recipe.{_OWN_DIGEST}. Restore the file, "
            f"or {AGAIN}. To keep the change, remove {_OWN_DIGEST} from recipe"
        )
    return manifest


def write_manifest_file(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest of a folder atomically, with its own digest. Return it as it was written."""
    value = json.loads(_json(manifest))
    complete = manifest.model_copy(update={"recipe": {**manifest.recipe, _OWN_DIGEST: _own_digest(value)}})
    _replace(folder / MANIFEST, _json(complete) + "\n")
    return complete


def _own_digest(value: dict[str, Any]) -> str:
    """Return the sha256, in hex, of the content of a manifest, without the entry with this digest. The order of fields
    and white space do not matter."""
    recipe = {name: entry for name, entry in value.get("recipe", {}).items() if name != _OWN_DIGEST}
    return json_digest({**value, "recipe": recipe})


def _json(manifest: Manifest) -> str:
    return manifest.model_dump_json(indent=2, exclude_none=True)


def _replace(path: Path, content: str) -> None:
    """Replace a file atomically. The name of the temporary file is hidden, so a manifest need not list it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(content, "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
