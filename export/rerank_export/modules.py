"""modules.json: the steps of a model of sentence-transformers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULES = "modules.json"


def read_modules(folder: Path) -> Sequence[Mapping[str, Any]]:
    """The steps of a folder, in order; none where it is no folder of sentence-transformers."""
    path = folder / MODULES
    modules = json.loads(path.read_text()) if path.is_file() else []
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
