"""Facts about a model that was never loaded, from its manifest. Its digests are not verified yet."""

import os
from dataclasses import replace
from pathlib import Path

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.files import MANIFEST, validate
from rerank_service.models.hub_folder import read_hub_folder
from rerank_service.models.manifest import Manifest
from rerank_service.models.manifest_file import read_manifest
from rerank_service.models.model_state import ModelState
from rerank_service.models.served_model import ModelInfo

_UNKNOWN = ModelInfo(name="", state=ModelState.UNLOADED)


def unloaded_info(entry: ModelEntry) -> ModelInfo:
    """Return the facts about the model of an entry. Of a folder that cannot be read, only the names are known.

    Raises:
        BundleInvalid: the entry has no name, and its folder has none that can be read.
    """
    try:
        bundle = _unverified(entry.folder)
    except BundleInvalid:
        if entry.name is None:
            raise
        return replace(_UNKNOWN, name=entry.name, aliases=entry.aliases)
    manifest = bundle.manifest
    return replace(
        _UNKNOWN,
        name=entry.name or manifest.name,
        aliases=entry.aliases,
        source=manifest.source,
        revision=manifest.revision,
        digest=bundle.digest,
        max_tokens=manifest.max_tokens,
        takes_instruction=manifest.takes_instruction,
        calibration=str(manifest.calibration or ""),
        verdict=bundle.verdict,
    )


def _unverified(folder: Path) -> Bundle:
    try:
        if os.path.lexists(folder / MANIFEST):
            return Bundle(folder, read_manifest(folder))
        hub_folder = read_hub_folder(folder)
        return Bundle(hub_folder.folder, validate(Manifest, hub_folder.manifest, hub_folder.folder))
    except OSError as error:
        raise BundleInvalid(f"{folder} cannot be read: {error}") from error
