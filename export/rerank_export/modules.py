"""modules.json: the steps of a model of sentence-transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed

MODULES = "modules.json"


def read_modules(folder: Path) -> Sequence[Mapping[str, Any]]:
    """The steps of a folder, in order; none where it is no folder of sentence-transformers.

    Raises:
        ExportFailed: the file is not JSON.
    """
    path = folder / MODULES
    try:
        modules = json.loads(path.read_bytes()) if path.is_file() else []
    except ValueError as error:
        raise ExportFailed(f"{MODULES} of {folder.resolve().name} is not JSON: {error}") from error
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
