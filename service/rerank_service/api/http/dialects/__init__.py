"""The JSON dialects, one module each.

To add a dialect, add a module with a `DIALECT` (see contract.py). If its clients send GET requests, add `LOOK_UPS` (see
look_up.py). The modules of this package are found by name; no list has to change.
"""

import importlib
import pkgutil
from functools import cache
from typing import Any

from rerank_service.api.http.dialects.contract import Dialect
from rerank_service.api.http.dialects.look_up import LookUp


def all_dialects() -> list[Dialect]:
    """Return the dialects of all modules, in the order of the modules' names."""
    return [module.DIALECT for module in _modules() if hasattr(module, "DIALECT")]


def all_look_ups() -> list[LookUp]:
    """Return the look-ups of all modules, in the order of the modules' names."""
    return [look_up for module in _modules() for look_up in getattr(module, "LOOK_UPS", ())]


@cache
def _modules() -> list[Any]:
    """Return all modules of this package. The start asks for them several times."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
