"""Name of a model folder, without a check of its digests."""

import os
from pathlib import Path

from rerank_service.errors import BundleInvalid
from rerank_service.models.files import MANIFEST
from rerank_service.models.hub_folder import read_hub_folder
from rerank_service.models.manifest_file import read_manifest


def bundle_name(folder: Path) -> str:
    """Return the name in the manifest; for a hub folder, the name of the folder.

    Raises:
        BundleInvalid: the folder has no valid manifest, and it is not a hub folder that can be served.
    """
    try:
        if os.path.lexists(folder / MANIFEST):
            return read_manifest(folder).name
        return str(read_hub_folder(folder).manifest["name"])
    except OSError as error:
        raise BundleInvalid(f"{folder} cannot be read: {error}") from error
