"""modules.json: the list of modules of a sentence-transformers model.

Format: https://sbert.net/docs/cross_encoder/usage/custom_models.html.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed

MODULES = "modules.json"


def read_modules(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return the modules in order; an empty list if the folder has no modules.json.

    Raises:
        ExportFailed: the file is not JSON.
    """
    path = folder / MODULES
    try:
        modules = json.loads(path.read_bytes()) if path.is_file() else []
    except ValueError as error:
        raise ExportFailed(f"{MODULES} of {folder.resolve().name} is not JSON: {error}") from error
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
